"""Fixtures of the tiny shop, for every folder of tests that searches in one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.registry import open_client
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
    shop.release(shop.package(1, reranks=True))
    return shop


@pytest.fixture(scope="session")
def client(open_shop: Shop) -> Iterator[TestClient]:
    with TestClient(create_app(open_shop.settings), raise_server_exceptions=False) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
