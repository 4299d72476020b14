"""The whole graph on two of Celery's workers, from accepted batches to the release; one is killed in mid-step.

    python -m tests.benchmarks.celery "viton $DATA/viton --limit 700" "clothing-co-parsing $DATA/ccp --limit 300"
    python -m tests.benchmarks.celery "sample --garments 60" --tiny --step reid_baseline --after 1

Each argument is what stands behind `threadline import`. Redis, PostgreSQL for Dagster and MLflow, Dagster's daemon and
the workers are started here and gone afterwards. The worker that makes `--step` is ended with `kill -9` that many
seconds after it began.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.instance import open_instance
from orchestration.resources import Workspace, services_from_environment
from tests.conftest import ROOT
from tests.services.servers import new_database, running_postgres, running_redis

VISIBILITY_S = 60
PATIENCE_S = 3 * 3600
WORKERS = ("one", "two")


@dataclass(frozen=True)
class Begun:
    """A step that a worker began, in seconds since the epoch."""

    worker: str
    run: str
    asset: str
    at_s: float


def steps(root: Path) -> list[Begun]:
    """What the logs of the workers tell, earliest first."""
    found = []
    for name in WORKERS:
        for line in (root / f"{name}.log").read_text().splitlines():
            told = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if told.get("message", "").startswith("Started execution of step"):
                at_s = datetime.fromisoformat(told["time"]).timestamp()
                found.append(Begun(name, told["run"], told["asset"], at_s))
    return sorted(found, key=lambda one: one.at_s)


def until(holds: Callable[[], Any]) -> Any:
    """What it holds, once it does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.5)
    return found


def twice(computed: str, killed: int) -> dict[str, int]:
    """Package and method -> pictures that the killed process group computed, and another did again.

    `computed` has the lines of `celery_location`. What a package is measured with is computed again by intention, for
    its report and for the speed of its segmenter, and is among these where both workers took part.
    """
    rows = [line.split() for line in computed.splitlines()]
    lost = {(method, picture) for group, method, picture in rows if int(group) == killed}
    again = {(method, picture) for group, method, picture in rows if int(group) != killed}
    return dict(Counter(method for method, _ in lost & again))


def measure(root: Path, step: str, after_s: float, start: Callable[..., subprocess.Popen[bytes]]) -> dict[str, Any]:
    """Let daemon and workers bring the workspace to a release, and kill the worker that makes `step`."""
    workspace = Workspace(root, services_from_environment())
    workers = {
        name: start(name, "-m", "tests.behaviour.celery_worker", os.environ["THREADLINE_BROKER_URL"], str(VISIBILITY_S))
        for name in WORKERS
    }
    with open_instance(workspace.home) as instance:  # makes the home that the daemon asks for
        started_s = time.time()
        start("daemon", "-m", "dagster._daemon", "run", "-m", "tests.benchmarks.celery_location")
        victim: Begun = until(lambda: next((one for one in steps(root) if one.asset == step), None))
        time.sleep(max(0.0, victim.at_s + after_s - time.time()))
        os.killpg(workers[victim.worker].pid, signal.SIGKILL)
        killed_s = time.time()
        ended = until(lambda: _ended(instance, victim.run))
        until(workspace.registry.champion)
        released_s = time.time()
    again = [one.at_s for one in steps(root) if one.run == victim.run and one.at_s > killed_s]
    return {
        "step": step,
        "killed_after_s": round(killed_s - victim.at_s, 1),
        "handed_out_again_s": round(min(again) - killed_s, 1) if again else None,
        "run": ended.dagster_run.status.value,
        "from_kill_to_end_of_run_s": round(ended.end_time - killed_s, 1),
        "to_release_s": round(released_s - started_s, 1),
        "pictures_computed_twice": twice((root / "computed.log").read_text(), workers[victim.worker].pid),
    }


def _ended(instance: dg.DagsterInstance, run_id: str) -> dg.RunRecord | None:
    record = instance.get_run_record_by_id(run_id)
    return record if record is not None and record.dagster_run.is_finished else None


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("imports", nargs="+", help="for example: 'viton DIRECTORY --limit 700'")
    parser.add_argument("--step", default="reid_baseline", help="the asset whose worker is killed")
    parser.add_argument("--after", type=float, default=20.0, help="seconds from its beginning to the kill")
    parser.add_argument("--tiny", action="store_true", help="the preset of the tests")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="threadline-bench-")))
        server = stack.enter_context(running_postgres())
        os.environ |= {
            "THREADLINE_WORKSPACE": str(root),
            "DAGSTER_HOME": str(root / ".threadline" / "dagster"),
            "THREADLINE_ENGINE": "celery",
            "THREADLINE_BROKER_URL": stack.enter_context(running_redis()),
            "THREADLINE_DAGSTER_URL": new_database(server, "dagster"),
            "THREADLINE_TRACKING_URI": new_database(server, "mlflow"),
            "THREADLINE_BENCH_TINY": str(given.tiny).lower(),
        }

        def start(name: str, *command: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((root / f"{name}.log").open("wb"))
            begun = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(_end, begun)
            return begun

        threadline = [sys.executable, "-m", "orchestration.cli.main"]
        subprocess.run([*threadline, "init", str(root), "--preset", "demo"], cwd=ROOT, check=True)
        for one in given.imports:
            subprocess.run([*threadline, "import", *shlex.split(one), "--who", "benchmark"], cwd=ROOT, check=True)
        figures = measure(root, given.step, given.after, start)
    print(json.dumps(figures, indent=2))
    return figures


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    main()
