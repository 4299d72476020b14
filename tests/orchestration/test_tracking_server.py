"""The same registry behind an MLflow server, whose artifacts come through it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.model_package import read_package
from contracts.registry import SERVING_MODEL
from orchestration.tracking import log_training, register_serving
from serving.registry import MlflowRegistry
from tests.serving.fixtures import until
from tests.serving.shop import Shop


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or _answers(f"http://127.0.0.1:{port}/health"), 120)
            assert process.poll() is None, (folder / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(120)


@pytest.mark.slow
def test_a_package_goes_through_a_server(tmp_path: Path, server: str) -> None:
    shop = Shop(tmp_path / "shop")
    package = shop.package(1)
    logged = log_training(server, None, "training", "fashion2shop", package, {"a": 1}, [(0, {"loss": 1.0})], [], {})
    assert log_training(server, None, "training", "fashion2shop", package, {}, [], [], {}) == logged
    version = register_serving(server, "fashion2shop", logged.version)
    registry = MlflowRegistry(server)
    assert registry.champion() is None
    registry.publish(version, "articles")
    champion = registry.champion()
    assert champion is not None and (champion.version, champion.collection) == (version, "articles")
    fetched = registry.fetch(SERVING_MODEL, version, tmp_path / "fetched")
    assert read_package(fetched, verify=True) == read_package(package)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
