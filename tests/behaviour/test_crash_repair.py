"""Killed anywhere, started again: the end is that of an undisturbed run, and no run stays started for ever."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from contracts.errors import ThreadlineError
from orchestration.attempts import attempt, read_attempts
from orchestration.definitions import build_definitions
from orchestration.execution import materialize, open_instance
from orchestration.freshness import Lineage
from orchestration.home import Home
from orchestration.locks import alone
from orchestration.runs import RUNNER_TAG, fail_dead_runs, held_by_run, lock_of
from tests.behaviour.delivery import PICTURES, POINTS, noted_work, work, work_apart
from tests.behaviour.tiny import TinyWorkspace
from tests.behaviour.world import World

RAW = {"data_manifest", "catalogue_batches", "street_batches"}
UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.behaviour.delivery", "orchestration.definitions", "mlflow", "training.presets"]
)
"""Each process is a fresh one, forked from one that has imported everything and done nothing."""


def killed(root: Path, point: str) -> None:
    """Work until the process group is killed at `point`."""
    worker = PROCESSES.Process(target=work_apart, args=(root, point))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL, point


def end_state(root: Path) -> dict[str, object]:
    """What counts in the end: every data version, and what is served."""
    workspace = TinyWorkspace(root)
    with open_instance(workspace.home) as instance:
        graph = build_definitions(workspace).resolve_asset_graph()
        lineage = Lineage(instance, graph)
        keys = [key for key in graph.toposorted_asset_keys if key.to_user_string() not in {*RAW, "release"}]
        versions = {f"{key} {p}": lineage.data_version(key, p) for key in keys for p in lineage.partitions(key)}
        unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    served, payloads = World(root).served()
    return {"versions": versions, "served": served, "payloads": payloads, "unfinished": unfinished}


def done_twice(disturbed: Counter[str], undisturbed: Counter[str]) -> list[str]:
    """What was done more often than it may: over a batch of pictures, or an epoch of the training that was killed."""
    assert disturbed.keys() == undisturbed.keys()
    killed_training = "ReidLearner.training_step"
    allowed = dict.fromkeys(undisturbed, 0) | {killed_training: undisturbed[killed_training]}  # it has one epoch
    allowed |= {what: PICTURES for what in undisturbed if what.startswith("PackageSession")}
    return [what for what, count in disturbed.items() if count > undisturbed[what] + allowed[what]]


@pytest.mark.slow
def test_killed_at_every_point_in_turn(built: Path, tmp_path: Path) -> None:
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    for root in (disturbed, undisturbed):
        shutil.copytree(built, root, symlinks=True)
    for point in POINTS:
        killed(disturbed, point)
    work(disturbed, "none")
    work(undisturbed, "none")
    end = end_state(disturbed)
    assert end == end_state(undisturbed)
    assert end["unfinished"] == []
    assert done_twice(noted_work(disturbed), noted_work(undisturbed)) == []
    assert read_attempts(TinyWorkspace(disturbed).home) == {}
    index = disturbed / ".threadline" / "index"
    assert [path for path in index.glob("*/.*") if path.name != ".lock"] == [], "nothing half-made is left"


def test_runs_without_a_process_are_failed_and_living_ones_are_not(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with open_instance(home) as instance:
        runs = {
            name: instance.create_run_for_job(
                _job, tags={RUNNER_TAG: "command"} if name == "command" else {}, status=dg.DagsterRunStatus.STARTED
            )
            for name in ("command", "daemon", "working")
        }

        def status(name: str) -> dg.DagsterRunStatus:
            found = instance.get_run_by_id(runs[name].run_id)
            assert found is not None
            return found.status

        with held_by_run(home, runs["working"].run_id, "masks"):
            with alone(home.lock(lock_of("daemon")), "the daemon"):
                assert fail_dead_runs(instance, home, "command") == 1
            assert status("command") == dg.DagsterRunStatus.FAILURE
            assert status("daemon") == dg.DagsterRunStatus.STARTED, "its daemon lives"
            assert fail_dead_runs(instance, home, "command") == 1
            assert status("daemon") == dg.DagsterRunStatus.FAILURE
            assert status("working") == dg.DagsterRunStatus.STARTED, "its process lives"
        assert fail_dead_runs(instance, home, "command") == 1


def test_a_second_materialize_is_refused(tmp_path: Path) -> None:
    workspace = TinyWorkspace(tmp_path)
    with (
        alone(workspace.home.lock(lock_of("command")), "this test"),
        pytest.raises(ThreadlineError, match="works in this workspace already"),
    ):
        materialize(workspace)


def test_what_fails_is_tried_again_with_growing_pauses_and_then_left(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number, at_s in enumerate((0.0, 100.0, 300.0), start=1):
        with pytest.raises(RuntimeError), attempt(home, "masks", "one", "inputs", "run", at_s):
            raise RuntimeError("no memory")
        left = read_attempts(home)["masks", "one"]
        assert (left.count, left.reason) == (number, "no memory")
        pause_s = 60.0 * 2 ** (number - 1)
        may = number <= 2
        assert left.may_be_repeated("inputs", at_s + pause_s, most=2, backoff_s=60) is may
        assert not left.may_be_repeated("inputs", at_s + pause_s - 1, most=2, backoff_s=60)
        assert left.may_be_repeated("other inputs", at_s, most=2, backoff_s=60)
    with attempt(home, "masks", "one", "inputs", "run", 900.0):
        pass
    assert read_attempts(home) == {}


def test_stopping_on_request_is_no_failure(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(KeyboardInterrupt), attempt(home, "reid_baseline", None, "inputs", "run", 0.0):
        raise KeyboardInterrupt
    assert read_attempts(home) == {}


def test_two_hands_on_one_asset_work_one_after_the_other(tmp_path: Path) -> None:
    """The lock that every asset's body holds."""
    from orchestration.locks import waiting_for

    spans: list[tuple[float, float]] = []

    def hand() -> None:
        with waiting_for(Home(tmp_path).lock("masks")):
            start = time.monotonic()
            time.sleep(0.1)
            spans.append((start, time.monotonic()))

    hands = [threading.Thread(target=hand) for _ in range(3)]
    for one in hands:
        one.start()
    for one in hands:
        one.join()
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


@dg.op
def _nothing() -> None:
    """Nothing."""


@dg.job
def _job() -> None:
    """A job whose runs are only created."""
    _nothing()
