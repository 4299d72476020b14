"""`threadline code-location`: while it lives it is known to, what an earlier one left is failed, SIGTERM ends all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration import dvc_data
from orchestration.backup import write_backup
from orchestration.execution import open_instance
from orchestration.locks import is_held
from orchestration.resources import Workspace
from orchestration.runs import lock_of
from tests.services.servers import free_port

PATIENCE_S = 90


@dg.op
def _nothing() -> None:
    """Nothing."""


@dg.job
def _job() -> None:
    """A job whose runs are only created."""
    _nothing()


def listens(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_it_holds_the_lock_fails_dead_runs_and_passes_sigterm_on(tmp_path: Path, checkout: Path) -> None:
    workspace = Workspace(tmp_path)
    dvc_data.init(tmp_path)
    write_text(tmp_path / "threadline.toml", 'preset = "demo"\n')
    with open_instance(workspace.home) as instance:
        dead = instance.create_run_for_job(_job, status=dg.DagsterRunStatus.STARTED).run_id
    port, log = free_port(), (tmp_path / "log").open("wb")
    command = (sys.executable, "-m", "orchestration.cli.main", "code-location", "--port", str(port))
    environment = {**os.environ, "THREADLINE_WORKSPACE": str(tmp_path), "PYTHONPATH": str(checkout)}
    process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        assert is_held(workspace.home.lock(lock_of("daemon")))
        with pytest.raises(ThreadlineError, match="works in this workspace already"):
            write_backup(workspace, tmp_path / "saved.tar")
        with open_instance(workspace.home) as instance:
            run = instance.get_run_by_id(dead)
        assert run is not None and run.status == dg.DagsterRunStatus.FAILURE
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
        assert psutil.wait_procs(family, timeout=5)[1] == [], "the server ended with it"
        assert not is_held(workspace.home.lock(lock_of("daemon")))
        lines = (tmp_path / "log").read_text().splitlines()
        assert [line for line in lines if line.startswith("{") and "orchestration.definitions" in line], lines
    finally:
        process.kill()
        process.wait()
        log.close()
