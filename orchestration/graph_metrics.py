"""What Prometheus is told of the graph: what is out of date or failed, Dagster's runs and sensors, deliveries.

It reads what `threadline status` reads, and changes nothing. Moments are seconds since the epoch: a rule subtracts them
from `time()`, so that an age goes on growing when nothing writes any more. Code and configuration are those of the
process's start, as they are with Dagster's daemon.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from wsgiref.simple_server import WSGIServer

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType, TickStatus
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts.batches import KINDS
from contracts.errors import ThreadlineError
from contracts.ledger import read_ledger
from orchestration.attempts import Attempt
from orchestration.definitions import build_definitions
from orchestration.freshness import Lineage
from orchestration.incoming import unjudged
from orchestration.observation import observe
from orchestration.places import Places
from orchestration.resources import Workspace
from orchestration.runs import failed_attempts
from orchestration.status import unmade
from orchestration.stewardship import deliveries

FRESH_S = 10.0
"""How long figures are handed out again: several who scrape cost no more than one."""

_LOOKED = [TickStatus.SUCCESS, TickStatus.SKIPPED]
_MOMENTS = (
    ("release", "release", "When something was released last."),
    ("data_version", "data_manifest", "When the graph last saw another data version."),
)


class GraphMetrics(Collector):
    """The figures of one workspace, read when somebody asks. What cannot be read fails the scrape."""

    def __init__(self, workspace: Workspace, instance: dg.DagsterInstance) -> None:
        self._workspace = workspace
        self._instance = instance
        self._graph = build_definitions(workspace).resolve_asset_graph()
        self._kept: list[GaugeMetricFamily] = []
        self._until_s = 0.0
        self._lock = threading.Lock()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every figure, at most `FRESH_S` old."""
        with self._lock:
            if time.monotonic() >= self._until_s:
                self._kept = list(read_figures(self._workspace, self._instance, self._graph))
                self._until_s = time.monotonic() + FRESH_S
            return self._kept


def serve_metrics(
    workspace: Workspace, instance: dg.DagsterInstance, host: str, port: int
) -> tuple[WSGIServer, threading.Thread]:
    """Answer Prometheus in a thread, from now on. Raises ThreadlineError when the port is taken."""
    registry = CollectorRegistry()
    registry.register(GraphMetrics(workspace, instance))
    try:
        return start_http_server(port, host, registry)
    except OSError as error:
        raise ThreadlineError(f"port {port} on {host} is taken", "stop what uses it, or choose another") from error


def read_figures(
    workspace: Workspace, instance: dg.DagsterInstance, graph: dg.AssetGraph
) -> Iterator[GaugeMetricFamily]:
    """Every figure as it is now."""
    lineage = Lineage(instance, graph)
    yield _out_of_date(graph, lineage)
    unobserved = float(bool(observe(workspace, instance, graph)))
    yield GaugeMetricFamily(
        "threadline_graph_unobserved", "1: data or decisions changed since the graph was last told.", unobserved
    )
    yield _failed(failed_attempts(workspace.home, instance, graph, lineage), workspace.configuration.retries.most)
    yield _runs(instance)
    yield _ticks(instance)
    yield _heartbeats(instance)
    for name, key, told in _MOMENTS:
        last = instance.get_latest_materialization_event(dg.AssetKey(key))
        family = GaugeMetricFamily(f"threadline_graph_{name}_timestamp_seconds", told)
        if last is not None:
            family.add_metric([], last.timestamp)
        yield family
    yield _batches(workspace.places)


def _out_of_date(graph: dg.AssetGraph, lineage: Lineage) -> GaugeMetricFamily:
    """Every asset that is made here has both figures, so that an alert can tell 0 from a name that is gone."""
    told = "Partitions that differ from what would be made now: ready to be made, or waiting for those."
    family = GaugeMetricFamily("threadline_graph_out_of_date", told, labels=["asset", "state"])
    ready, waiting = (Counter(key for key, _ in targets) for targets in unmade(graph, lineage))
    for key in graph.toposorted_asset_keys:
        if graph.get(key).is_materializable:
            family.add_metric([key.to_user_string(), "ready"], ready[key])
            family.add_metric([key.to_user_string(), "waiting"], waiting[key])
    return family


def _failed(left: Iterable[Attempt], most: int) -> GaugeMetricFamily:
    told = "Partitions whose last attempt failed and that are wanted still: to be repeated, or waiting for a person."
    family = GaugeMetricFamily("threadline_graph_failed", told, labels=["asset", "state"])
    found = Counter((one.asset, "given_up" if one.cancelled or one.count > most else "repeated") for one in left)
    for labels, count in sorted(found.items()):
        family.add_metric(list(labels), count)
    return family


def _runs(instance: dg.DagsterInstance) -> GaugeMetricFamily:
    family = GaugeMetricFamily("threadline_graph_runs", "Dagster's runs that are kept.", labels=["status"])
    for status in dg.DagsterRunStatus:
        family.add_metric([status.value.lower()], instance.get_runs_count(dg.RunsFilter(statuses=[status])))
    return family


def _ticks(instance: dg.DagsterInstance) -> GaugeMetricFamily:
    told = "When a sensor last looked without an error; `data_dvc` observes the data."
    family = GaugeMetricFamily("threadline_graph_tick_timestamp_seconds", told, labels=["sensor"])
    for sensor in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        for last in instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=1, statuses=_LOOKED):
            family.add_metric([sensor.instigator_name], last.timestamp)
    return family


def _heartbeats(instance: dg.DagsterInstance) -> GaugeMetricFamily:
    told = "When a part of Dagster's daemon was last alive."
    family = GaugeMetricFamily("threadline_graph_heartbeat_timestamp_seconds", told, labels=["daemon"])
    for name, heartbeat in sorted(instance.get_daemon_heartbeats().items()):
        family.add_metric([name.lower()], heartbeat.timestamp)
    return family


def _batches(places: Places) -> GaugeMetricFamily:
    told = "Batches: accepted, rejected and lying in incoming/, or waiting there for a verdict."
    family = GaugeMetricFamily("threadline_batches", told, labels=["kind", "state"])
    accepted = Counter(row.kind for row in read_ledger(places.data))
    waiting = Counter(one.kind for one in unjudged(places))
    there = Counter(kind for kind, _ in deliveries(places))
    for kind in KINDS:
        family.add_metric([kind, "accepted"], accepted[kind])
        family.add_metric([kind, "waiting"], waiting[kind])
        family.add_metric([kind, "rejected"], max(0, there[kind] - waiting[kind]))
    return family
