"""Which runs live. One that lost its process is marked failed: its slot is free, its work asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import dagster as dg

from orchestration.attempts import Attempt, read_attempts
from orchestration.freshness import Lineage
from orchestration.home import Home
from orchestration.locks import is_held, waiting_for

Runner = Literal["command", "daemon"]
"""Who started a run: `threadline materialize`, or the daemon of `threadline up`."""

RUNNER_TAG = "threadline/runner"

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def held_by_run(home: Home, run_id: str, step: str) -> Iterator[None]:
    """Show, as long as this process lives, that the run does. A step that was handed out twice waits for itself."""
    path = home.lock(f"run-{run_id}-{step}")
    with waiting_for(path):
        yield
        path.unlink(missing_ok=True)


def fail_dead_runs(instance: dg.DagsterInstance, home: Home, mine: Runner) -> int:
    """Mark the unfinished runs that no process works on as failed. Returns how many.

    The caller holds the lock of its kind of runner (`mine`), so that no other of its kind lives.
    """
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)) if not _lives(home, run, mine)]
    for run in dead:
        instance.report_run_failed(run, "the process that ran this was killed")
    for leftover in home.lock("x").parent.glob("run-*.lock"):
        if not is_held(leftover):
            leftover.unlink()
    return len(dead)


def wanted_attempts(home: Home, graph: dg.AssetGraph, lineage: Lineage) -> list[Attempt]:
    """The attempts that have not succeeded in making what is out of date from what there is now.

    Any other stays noted, in case its inputs come back: its batch was removed, or the setting it failed with is gone.
    """
    return [left for left in read_attempts(home).values() if _is_wanted(left, graph, lineage)]


def failed_attempts(home: Home, instance: dg.DagsterInstance, graph: dg.AssetGraph, lineage: Lineage) -> list[Attempt]:
    """Of `wanted_attempts` those that failed: that say why, or whose run is over without a word of theirs."""
    found = []
    for left in wanted_attempts(home, graph, lineage):
        if left.reason:
            found.append(left)
        elif (run := instance.get_run_by_id(left.run_id)) is not None and run.is_finished:
            found.append(replace(left, reason="its process was killed"))
    return found


def lock_of(runner: Runner) -> str:
    """The name of the lock that a kind of runner holds as long as it lives."""
    return "materialize" if runner == "command" else "up"


def _is_wanted(left: Attempt, graph: dg.AssetGraph, lineage: Lineage) -> bool:
    key = dg.AssetKey.from_user_string(left.asset)
    return (
        graph.has(key)
        and left.partition in lineage.partitions(key)
        and lineage.stale(key, left.partition)
        and lineage.inputs(key, left.partition) == left.inputs
    )


def _lives(home: Home, run: dg.DagsterRun, mine: Runner) -> bool:
    runner: Runner = "command" if run.tags.get(RUNNER_TAG) == "command" else "daemon"
    if runner == "daemon" and home.services.engine == "kubernetes":
        return True  # its pod is elsewhere; Dagster's run monitoring looks after it
    runner_lives = runner != mine and is_held(home.lock(lock_of(runner)))
    steps = home.lock("x").parent.glob(f"run-{run.run_id}-*.lock")
    return runner_lives or any(is_held(step) for step in steps)
