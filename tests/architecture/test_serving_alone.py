"""The service starts without the training stack, and quickly."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.serving.shop import Shop

ROOT = Path(__file__).parents[2]
BUDGET_S = 2.0
"""Seconds of CPU time: the clock would count what runs beside the tests."""

_IMPORT = """
import importlib.abc, json, sys, time

FORBIDDEN = ("torch", "torchvision", "timm", "pytorch_lightning", "lightning", "dagster", "training", "orchestration")

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not for the service")

sys.meta_path.insert(0, Refuse())
start = time.process_time()
import serving.app
took_s = time.process_time() - start
import serving.client, serving.index.edge, serving.index.server, serving.pyfunc
from mlflow.tracking import MlflowClient
print(json.dumps({"took_s": took_s, "modules": sorted(sys.modules)}))
"""

_PREDICT = """
import mlflow, sys
from pathlib import Path

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/threadline@champion")
print(model.predict([{"image": Path(sys.argv[2]).read_bytes()}]).shape)
"""


def import_service() -> dict:
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_service_imports_quickly_and_without_the_training_stack() -> None:
    imported = [import_service() for _ in range(3)]
    took_s = statistics.median(one["took_s"] for one in imported)
    print(f"import of serving.app: {took_s:.2f} s (median of 3)")
    assert took_s < BUDGET_S
    assert not {"torch", "dagster", "pytorch_lightning"} & set(imported[0]["modules"])


def test_mlflow_and_qdrant_are_imported_on_use_only() -> None:
    code = "import serving.app, sys; print([m for m in ('mlflow', 'qdrant_client', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_client_needs_nothing_of_the_service() -> None:
    heavy = "fastapi", "onnxruntime", "openvino", "qdrant_client", "mlflow", "prometheus_client", "uvicorn"
    code = f"import serving.client, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_service_runs_where_only_its_own_extra_is_installed(tmp_path: Path) -> None:
    """A fresh environment with `threadline[serving]`: the service starts, lives, and says that nothing is published.

    Whoever has MLflow there, too, lets it predict with what was published elsewhere.
    """
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}[serving]"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0 and ("No matching distribution" in done.stderr or "Connection" in done.stderr):
        pytest.skip(f"pip cannot reach a package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    absent = "import importlib.util as u; print([m for m in ('torch', 'dagster') if u.find_spec(m)])"
    assert subprocess.check_output([python, "-c", absent], text=True, cwd=tmp_path).strip() == "[]"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "THREADLINE_PORT": str(port), "THREADLINE_HOME": str(tmp_path / "home")}
    log = tmp_path / "log"
    with log.open("w") as output:
        service = subprocess.Popen(
            [python.with_name("threadline-serve")], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
        try:
            assert _status(f"http://127.0.0.1:{port}/healthz", service) == 200, log.read_text()
            assert _status(f"http://127.0.0.1:{port}/", service) == 200
            assert _status(f"http://127.0.0.1:{port}/readyz", service) == 503
        finally:
            service.terminate()
            service.wait(30)
    shop = Shop(tmp_path / "shop")
    shop.release(shop.package(1))
    (tmp_path / "photo").write_bytes(shop.photo("a0"))
    predict = [python, "-c", _PREDICT, shop.settings.tracking_uri, str(tmp_path / "photo")]
    done = subprocess.run(predict, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == "(1, 33)", done.stderr


def _status(url: str, service: subprocess.Popen[bytes]) -> int | None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if service.poll() is not None:
                return None
            time.sleep(0.1)
    return None
