"""The search service. `create_app` makes an application; there is none at import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.staticfiles import StaticFiles

from serving import problems
from serving.answers import Health
from serving.index import open_index
from serving.inference import PackageSession
from serving.metrics import Metrics
from serving.middleware import BodyLimit, Counted, SecurityHeaders
from serving.registry import MlflowRegistry
from serving.release import CurrentRelease, NoReleaseYet, ReleaseFollower, ReleaseLoader
from serving.routes import router
from serving.service import Service, ServiceDep, no_release
from serving.settings import Settings
from serving.workers import Workers

_PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings) -> FastAPI:
    """An application that follows the registry of `settings` from its start to its end."""
    service = _service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.follower.start()
        yield
        await to_thread.run_sync(service.follower.stop)

    # The interactive documentation would load scripts from another host; the description itself is at /openapi.json.
    app = FastAPI(title="Threadline", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    problems.install(app)
    app.add_middleware(BodyLimit, photo_bytes=settings.photo_bytes)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Counted, metrics=service.metrics)
    app.include_router(router)
    _add_operations(app)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    return app


def _service(settings: Settings) -> Service:
    """Wire the parts together. Nothing is opened yet: the follower does that."""
    key = settings.qdrant_api_key
    index = open_index(settings.home, settings.qdrant_url, key.get_secret_value() if key else None)
    registry = MlflowRegistry(settings.tracking_uri)

    def open_session(root: Path) -> PackageSession:
        return PackageSession(root, threads=settings.threads, runtime=settings.runtime)

    current, metrics = CurrentRelease(), Metrics()
    loader = ReleaseLoader(registry, index, settings.packages, settings.data, open_session)
    follower = ReleaseFollower(registry, loader, current, settings.poll_s, metrics.loaded)
    return Service(settings, current, follower, Workers(settings.concurrent, settings.wait_s), metrics)


def _add_operations(app: FastAPI) -> None:
    """Add the page, the probes and the counters."""

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/healthz", tags=["operation"])
    def alive() -> Health:
        """The process lives."""
        return Health(status="ok")

    @app.get("/readyz", tags=["operation"], responses=problems.DOCUMENTED)
    def ready(service: ServiceDep) -> Health:
        """A release is loaded, and searches are answered."""
        try:
            with service.current.lease():
                return Health(status="ready", problem=service.follower.problem)
        except NoReleaseYet as error:
            raise no_release(service.follower.problem) from error

    @app.get("/metrics", include_in_schema=False)
    def metrics(service: ServiceDep) -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
