"""The service's log is for machines where nobody sits before it: one JSON object a line, with the release."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient

from contracts.logs import handler_for
from serving.app import create_app
from tests.serving.fixtures import until
from tests.serving.shop import Shop


def test_every_line_on_the_error_stream_is_json(tmp_path: Path) -> None:
    environment = {**os.environ, "THREADLINE_HOME": str(tmp_path), "THREADLINE_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "serving", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        lines = [json.loads(service.stderr.readline())]
        while "running on" not in lines[-1]["message"]:
            lines.append(json.loads(service.stderr.readline()))
        service.send_signal(signal.SIGTERM)
        lines += [json.loads(line) for line in service.stderr]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)


def test_a_line_about_a_release_names_it(shop: Shop) -> None:
    stream = io.StringIO()
    handler, log = handler_for(stream), logging.getLogger("serving.release")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        release = shop.release(shop.package(1))
        with TestClient(create_app(shop.settings)) as client:
            until(lambda: client.get("/readyz").status_code == 200)
    finally:
        log.removeHandler(handler)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert release.version in [line.get("release") for line in told]
