"""Fixtures of the tiny shop, for every folder of tests that searches in one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from serving.__main__ import server_options
from serving.app import create_app
from serving.client import SearchClient
from serving.registry import open_client
from serving.settings import Settings
from tests.serving.shop import Shop


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking database without content: making one takes seconds, copying one does not."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    open_client(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def shop(tmp_path: Path, empty_registry: Path) -> Shop:
    return Shop(tmp_path, empty_registry)


@pytest.fixture(scope="session")
def open_shop(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Shop:
    """A shop with one release, which tests only read."""
    shop = Shop(tmp_path_factory.mktemp("shop"), empty_registry)
    shop.release(shop.package(1, reranks=True), k_reciprocal_gain=0.01)
    return shop


@pytest.fixture(scope="session")
def client(open_shop: Shop) -> Iterator[TestClient]:
    with TestClient(create_app(open_shop.settings), raise_server_exceptions=False) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


@contextmanager
def serving(settings: Settings, **options: object) -> Iterator[str]:
    """The address of a service over real HTTP in a thread of this process, ready.

    `options` are further ones of uvicorn.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), **{**server_options(settings), **options}))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with SearchClient(url) as client:
            until(client.is_ready)
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
