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

from orchestration.definitions import build_definitions
from orchestration.execution import open_instance, out_of_date
from orchestration.observation import observe
from orchestration.runs import fail_dead_runs
from tests.behaviour.world import World

PATIENCE_S = 900
BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@contextmanager
def daemon(root: Path, checkout: Path, location: str = "tests.behaviour.location") -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon over the workspace, in a process group of its own, which is killed in the end."""
    with open_instance(World(root).workspace.home) as instance:
        fail_dead_runs(instance, World(root).workspace.home, "daemon")
    environment = {
        **os.environ,
        "THREADLINE_WORKSPACE": str(root),
        "DAGSTER_HOME": str(root / ".threadline" / "dagster"),
    }
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", location]
    log = (root / "daemon.log").open("ab")
    process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


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
