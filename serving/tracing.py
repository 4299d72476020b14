"""OpenTelemetry traces of requests. Importing this imports its SDK: `serving.app` does so where an endpoint is named.

A request is a span, and continues the trace of its `traceparent`; FastAPI makes that span. Its stages are spans below.
They say the address, the status, the release, how many articles were asked for and found: never anything of a photo,
a file's name, or a key. The SDK reads the other standard variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, …) itself.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_UNTRACED = ("/healthz", "/readyz", "/metrics")
"""What machines ask for every few seconds; it would hide the searches."""


class Tracing:
    """Sends spans to `endpoint`, the whole address that takes OTLP over HTTP.

    That happens in the background: an endpoint that does not answer delays no request.
    """

    def __init__(self, endpoint: str) -> None:
        # A name that OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES gives goes before ours.
        named = Resource({SERVICE_NAME: "threadline"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=Resource.create().merge(named))
        self._provider.add_span_processor(_WithoutQuery())
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._tracer = self._provider.get_tracer("threadline")

    def of_requests(self) -> TelemetryConfig:
        """What FastAPI is told, so that it makes the requests' spans, and nothing else."""
        return {"tracing": True, "tracer_provider": self._provider, "exclude": _is_untraced}

    def of_this_request(self) -> RequestTrace:
        """The trace of the request that is being answered, for its stages in whichever thread they run."""
        return RequestTrace(self._tracer)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class RequestTrace:
    """`serving.stages.Trace` as spans below the present one."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._context = context.get_current()

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A span. What is raised in it is not recorded: its text may say too much."""
        return self._tracer.start_as_current_span(
            name, context=self._context, record_exception=False, set_status_on_exception=False
        )

    def note(self, **figures: str | int) -> None:
        """Attributes of the request's span."""
        request = trace.get_current_span(self._context)
        request.set_attributes({f"threadline.{name}": value for name, value in figures.items()})


class _WithoutQuery(SpanProcessor):
    """Blots out what an address holds after its question mark: people put keys there by mistake."""

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        if "url.query" in (span.attributes or {}):
            span.set_attribute("url.query", "REDACTED")


def _is_untraced(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _UNTRACED
