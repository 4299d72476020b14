"""The search service. `create_app` makes an application; there is none at import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware

from contracts.errors import ThreadlineError
from serving import problems, refusals, website
from serving.answers import Health
from serving.index import open_index
from serving.inference import PackageSession
from serving.keys import Keys, open_keys
from serving.metrics import Metrics
from serving.middleware import BodyLimit, Counted, Failures, KeyCheck, SecurityHeaders, WholePath
from serving.photos import PixelBudget
from serving.query_log import QueryLog
from serving.registry import MlflowRegistry
from serving.release import CurrentRelease, ReleaseFollower, ReleaseLoader
from serving.routes import KEY, router
from serving.service import Service, ServiceDep
from serving.settings import Settings
from serving.workers import Shared, Workers

if TYPE_CHECKING:
    from serving.tracing import Tracing

_UPLOADS_A_PLACE = 2
"""How many uploads may arrive at once for each search that may run or wait."""

_LOOKUPS_A_PLACE = 8
"""How many lookups may wait for each search that may: they are short, and a page asks for 48 pictures at once."""

_ABOUT = """Finds the articles of a shop in a photo. Every answer names the release that gave it.

A refusal is a problem document (RFC 9457, `application/problem+json`): `type` is for programs, `detail` for people."""


_COUNTED = 'threadline_requests_total{method="POST",route="/v1/search",status="200"} 23.0'
_COUNTERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The counters, in Prometheus's text format",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": _COUNTED}},
    }
}

# FastAPI's own telemetry would say more of requests than ours may, to whoever an environment variable names.
_SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(settings: Settings) -> FastAPI:
    """An application that follows the registry of `settings` from its start to its end.

    Raises ThreadlineError when the service would be open to the network without API keys, when they cannot be read, or
    when traces are asked for and cannot be made.
    """
    keys = open_keys(settings)
    service = _service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.follower.start()
        yield
        for threads in (service.workers, service.lookups, service.readiness):
            await to_thread.run_sync(threads.close)
        await to_thread.run_sync(service.follower.stop)
        if service.tracing is not None:
            await to_thread.run_sync(service.tracing.close)

    # FastAPI's own documentation would load scripts from another host; that of `serving.website` does not.
    telemetry: TelemetryConfig = {**_SILENT, **(service.tracing.of_requests() if service.tracing else {})}
    app = FastAPI(
        title="Threadline",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        root_path=settings.root_path,
        telemetry=telemetry,
    )
    app.state.service = service
    problems.install(app)
    _add_middleware(app, service, keys)
    app.include_router(router)
    app.include_router(website.router)
    _add_operations(app)
    app.mount("/page", website.PageFiles(directory=website.PAGE), name="page")
    return app


def _service(settings: Settings) -> Service:
    """Wire the parts together. Nothing is opened yet: the follower does that."""
    key = settings.qdrant_api_key
    secret = key.get_secret_value() if key else None
    index = open_index(settings.home, settings.qdrant_url, secret, settings.qdrant_timeout_s, ca=settings.qdrant_ca)
    registry = MlflowRegistry(settings.tracking_uri)

    def open_session(root: Path) -> PackageSession:
        return PackageSession(root, threads=settings.threads, runtime=settings.runtime)

    current, metrics = CurrentRelease(), Metrics()
    loader = ReleaseLoader(registry, index, settings.packages, settings.data, open_session)
    follower = ReleaseFollower(registry, loader, current, settings.poll_s, metrics.loaded)
    workers = Workers(settings.concurrent, settings.queue, settings.deadline_s, "search")
    lookups = Workers(settings.concurrent, _LOOKUPS_A_PLACE * workers.places, settings.deadline_s, "lookup")
    readiness = Shared(settings.deadline_s, "readiness")
    metrics.watch(lambda: workers.taken, lambda: current.is_there)
    queries = None
    if settings.query_log != "off":
        queries = QueryLog(settings.queries, vectors=settings.query_log == "vectors", days=settings.query_log_days)
    decoding = PixelBudget(settings.photo_pixels)
    tracing = _tracing(settings)
    return Service(settings, current, follower, workers, lookups, readiness, metrics, decoding, queries, tracing)


def _tracing(settings: Settings) -> Tracing | None:
    """Traces to where the environment says; nothing of the SDK is imported where it says nothing."""
    if settings.traces is None:
        return None
    try:
        from serving.tracing import Tracing
    except ImportError as error:
        problem = f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} is not installed"
        remedy = "install the extra 'tracing': pip install '.[tracing]' in the checkout; or unset that variable"
        raise ThreadlineError(problem, remedy) from error
    return Tracing(settings.traces)


def _add_middleware(app: FastAPI, service: Service, keys: Keys | None) -> None:
    """What stands around the routes; the last one added comes first."""
    settings, workers = service.settings, service.workers
    app.add_middleware(
        BodyLimit,
        photo_bytes=settings.photo_bytes,
        upload_s=settings.upload_s,
        uploads=_UPLOADS_A_PLACE * workers.places,
        are_full=lambda: workers.are_full,
    )
    if keys is not None:
        app.add_middleware(KeyCheck, keys=keys)
    app.add_middleware(Failures)
    if settings.cors_origins:
        allowed = ["Authorization", "Content-Type"]
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=allowed
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Counted, metrics=service.metrics)
    app.add_middleware(WholePath)


def _add_operations(app: FastAPI) -> None:
    """Add the probes and the counters."""

    @app.get("/healthz", tags=["operation"])
    async def alive() -> Health:
        """The process lives."""
        return Health(status="ok")

    @app.get("/readyz", tags=["operation"], responses=refusals.READINESS)
    async def ready(service: ServiceDep) -> Health:
        """A release is loaded, its index answers, and searches are answered."""
        await service.readiness.run(service.count)
        return Health(status="ready", problem=service.follower.problem)

    @app.get(
        "/metrics", tags=["operation"], dependencies=[KEY], response_class=Response, responses=_COUNTERS | refusals.KEY
    )
    async def metrics(service: ServiceDep) -> Response:
        """What Prometheus counts: requests, their time by route and by stage, what runs or waits, the release."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
