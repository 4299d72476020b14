"""What died is repaired: runs without a process are failed, what failed is tried again, two hands do not collide."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from contracts.errors import ThreadlineError
from orchestration.attempts import attempt, read_attempts
from orchestration.execution import materialize, open_instance
from orchestration.home import Home
from orchestration.locks import alone
from orchestration.runs import RUNNER_TAG, fail_dead_runs, held_by_run, lock_of
from tests.behaviour.tiny import TinyWorkspace


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
