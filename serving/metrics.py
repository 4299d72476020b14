"""What the service counts, for Prometheus. Each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from contracts.registry import Release

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "threadline_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "threadline_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._stages = Histogram(
            "threadline_stage_seconds", "Time of a stage.", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self._release = Gauge(
            "threadline_release_info",
            "The release that serves.",
            ["version", "method", "collection", "data_version"],
            registry=self._registry,
        )
        self._loads = Counter(
            "threadline_release_loads", "Tries to load a release.", ["outcome"], registry=self._registry
        )
        self._nobody = Counter(
            "threadline_photos_without_person", "Photos in which nobody was found.", registry=self._registry
        )

    def watch(self, busy: Callable[[], int], ready: Callable[[], bool]) -> None:
        """Show how many computations run or wait, and whether searches are answered, whenever somebody looks."""
        running = Gauge("threadline_searches_in_progress", "Searches that run or wait.", registry=self._registry)
        running.set_function(busy)
        loaded = Gauge("threadline_ready", "Whether a release is loaded.", registry=self._registry)
        loaded.set_function(ready)

    def searched(self, took_ms: Mapping[str, float], person_found: bool | None) -> None:
        """Count a search: its stages, and whether a person was found (None: not looked for)."""
        for stage, ms in took_ms.items():
            self._stages.labels(stage).observe(ms / 1000)
        if person_found is False:
            self._nobody.inc()

    def loaded(self, release: Release, serves: bool) -> None:
        """Count a try to load `release`."""
        self._loads.labels("loaded" if serves else "failed").inc()
        if serves:
            self._release.clear()
            self._release.labels(release.version, release.method, release.collection, release.data_version).set(1)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
