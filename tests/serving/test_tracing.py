"""Traces as a collector receives them: one search is one trace with its stages, and tells nothing of the photo."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider

from contracts.errors import ThreadlineError
from serving.app import create_app
from serving.client import SearchClient
from serving.keys import add_key
from serving.settings import Settings
from tests.serving.fixtures import serving, until
from tests.serving.shop import Shop

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes OTLP over HTTP on loopback and keeps what it was sent, as bytes and as spans."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.bodies.append(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def services(self) -> set[str]:
        """The names of the services that sent something."""
        resources = [one.resource for body in self.bodies for one in _parsed(body).resource_spans]
        return {
            pair.value.string_value
            for resource in resources
            for pair in resource.attributes
            if pair.key == "service.name"
        }

    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in _parsed(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _parsed(body: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(body)


def attributes(span: Span) -> dict[str, str | int]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def traced(shop: Shop, collector: Collector, **settings: object) -> Settings:
    return shop.settings.model_copy(update={"otlp_endpoint": collector.endpoint, **settings})


def test_a_search_is_one_trace_with_its_stages(open_shop: Shop, collector: Collector) -> None:
    api_keys = open_shop.root / "api-keys"
    key = add_key(api_keys, "shop")
    photo = open_shop.photo("a3")
    with TestClient(create_app(traced(open_shop, collector, api_keys=api_keys))) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        answer = client.post(
            "/v1/search?api_key=mistaken",
            files={"photo": ("holiday-of-anna.jpg", io.BytesIO(photo), "image/jpeg")},
            data={"k": 3, "rerank": "neural"},
            headers={"Authorization": f"Bearer {key}", "traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"},
        )
        assert answer.status_code == 200, answer.text
    spans = collector.spans()
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    (request,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert request.parent_span_id.hex() == SPAN_ID
    assert request.name == "POST /v1/search"
    told = attributes(request)
    assert told["http.response.status_code"] == 200
    assert (told["threadline.release"], told["threadline.k"]) == (answer.json()["release"], 3)
    assert told["threadline.results"] == len(answer.json()["results"]) == 3
    stages = sorted((span for span in spans if span is not request), key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in stages] == ["decode", "segment", "encode", "search", "rerank", "serialise"]
    for stage in stages:
        assert stage.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= request.end_time_unix_nano
    assert collector.services == {"threadline"}
    sent = b"".join(collector.bodies)
    for secret in (key.encode(), b"mistaken", b"anna", b"image/jpeg", photo[:64]):
        assert secret not in sent


def test_a_refusal_is_a_trace_that_does_not_quote(open_shop: Shop, collector: Collector) -> None:
    with TestClient(create_app(traced(open_shop, collector))) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/search", files={"photo": ("me.jpg", b"no picture of anna")}).status_code == 415
    stage, request = collector.spans()
    assert stage.name == "decode" and stage.parent_span_id == request.span_id
    assert attributes(request)["http.response.status_code"] == 415
    sent = b"".join(collector.bodies)
    assert b"anna" not in sent and b"me.jpg" not in sent and b"exception" not in sent


def test_the_client_lets_the_service_continue_its_callers_trace(open_shop: Shop, collector: Collector) -> None:
    caller = TracerProvider().get_tracer("a shop's web site")
    with serving(traced(open_shop, collector)) as url, SearchClient(url) as client:
        with caller.start_as_current_span("a page") as page:
            client.similar("a1", k=2)
        client.similar("a2", k=2)
    continued, own = [span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER]
    assert continued.trace_id == page.get_span_context().trace_id.to_bytes(16)
    assert continued.parent_span_id == page.get_span_context().span_id.to_bytes(8)
    assert own.trace_id != continued.trace_id and own.parent_span_id == b""
    assert attributes(own)["threadline.results"] == 2


def test_searches_are_answered_while_the_collector_is_not_there(open_shop: Shop) -> None:
    nowhere = open_shop.settings.model_copy(update={"otlp_traces_endpoint": "http://127.0.0.1:9/v1/traces"})
    with TestClient(create_app(nowhere)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.get("/v1/release").status_code == 200


def test_without_the_extra_the_service_says_what_to_install(
    open_shop: Shop, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "serving.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ThreadlineError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT is set.*opentelemetry") as refused:
        create_app(traced(open_shop, collector))
    assert "'.[tracing]'" in refused.value.remedy


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"},
            "https://t/x",
        ),
    ],
)
def test_the_standard_variables_name_the_endpoint(
    named: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert Settings().traces == expected


def test_without_an_endpoint_nothing_that_sends_is_imported(open_shop: Shop) -> None:
    """FastAPI imports OpenTelemetry's interfaces by itself; what records and sends are the SDK and the exporters."""
    code = f"""
import sys
from pathlib import Path
from serving.app import create_app
from serving.settings import Settings
import serving.client
app = create_app(Settings(home=Path({str(open_shop.settings.home)!r})))
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
print(app.state.service.tracing)
"""
    environment = {"PATH": "/usr/bin", "FASTAPI_OTEL_AUTO_CONFIGURE": "true"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("\n")[:2] == ["[]", "None"]
