"""A workspace under Dagster's running daemon: its sensors, its queue, its runs in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from orchestration.code_server import socket_of, write_workspace_file
from orchestration.definitions import build_definitions
from orchestration.execution import open_instance, out_of_date
from orchestration.observation import observe
from orchestration.runs import fail_dead_runs
from tests.behaviour.world import World

PATIENCE_S = 900
BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@contextmanager
def daemon(root: Path, checkout: Path, location: str = "tests.behaviour.location") -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon over the workspace, with the server of its code beside it, as `threadline up` runs them.

    They are in a process group of their own, which is killed in the end.
    """
    home = World(root).workspace.home
    with open_instance(home) as instance:
        fail_dead_runs(instance, home, "daemon")
    environment = {
        **os.environ,
        "THREADLINE_WORKSPACE": str(root),
        "DAGSTER_HOME": str(root / ".threadline" / "dagster"),
    }
    socket = socket_of(home)
    graph = ("-m", "dagster", "api", "grpc", "-m", location, "--socket", str(socket))
    sensors = ("-m", "dagster._daemon", "run", "-w", str(write_workspace_file(home, socket)))
    processes: list[subprocess.Popen[bytes]] = []
    with (root / "daemon.log").open("ab") as log:

        def start(*command: str, group: int = 0) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=checkout, env=environment, stdout=log, stderr=log, process_group=group
            )
            processes.append(process)
            return process

        server = start(*graph)
        try:
            while not socket.exists():
                assert server.poll() is None, (root / "daemon.log").read_text()[-3000:]
                time.sleep(0.1)
            yield start(*sensors, group=server.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            for process in processes:
                process.wait()


def watch(world: World, until: Callable[[dg.DagsterInstance], bool]) -> None:
    """Look every three seconds until something holds: a look costs as much as a small step of the graph."""
    deadline = time.monotonic() + PATIENCE_S
    with open_instance(world.workspace.home) as instance:
        while not until(instance):
            assert time.monotonic() < deadline, (world.workspace.root / "daemon.log").read_text()[-3000:]
            time.sleep(3)


def settled(world: World) -> Callable[[dg.DagsterInstance], bool]:
    """Whether nothing is out of date, untold, queued or running."""
    graph = build_definitions(world.workspace).resolve_asset_graph()

    def check(instance: dg.DagsterInstance) -> bool:
        busy = instance.get_runs(dg.RunsFilter(statuses=BUSY))
        return not busy and not observe(world.workspace, instance, graph) and not out_of_date(instance, graph)

    return check
