"""Which engine the daemon's runs use, and when it is told to give up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dagster_k8s import k8s_job_executor
from pydantic import ValidationError

from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration.attempts import DEATHS_A_RUN, Attempt, attempt, read_attempt
from orchestration.definitions import build_definitions
from orchestration.executors import executor_of
from orchestration.home import Home
from orchestration.incoming import intake
from orchestration.resources import Workspace, services_from_environment
from orchestration.services import Engine, Services


def test_the_setting_chooses_the_executor(tmp_path: Path) -> None:
    assert executor_of(Home(tmp_path)).name == "in_process"
    assert executor_of(Home(tmp_path, Services(engine="multiprocess"))).name == "multiprocess"
    assert executor_of(Home(tmp_path, Services(engine="kubernetes"))) is k8s_job_executor
    assert executor_of(Home(tmp_path, Services(engine="celery", broker_url="redis://localhost"))).name == "celery"


@pytest.mark.parametrize(("engine", "executor"), [("process", "in_process"), ("celery", "celery")])
def test_a_delivery_is_judged_by_the_engine_too(tmp_path: Path, engine: Engine, executor: str) -> None:
    write_text(tmp_path / "threadline.toml", 'preset = "demo"\n')
    workspace = Workspace(tmp_path, Services(engine=engine, broker_url="redis://localhost"))
    assert build_definitions(workspace).resolve_job_def(intake.name).executor_def.name == executor


def test_an_engine_whose_packages_are_missing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_k8s", None)
    with pytest.raises(ThreadlineError, match="THREADLINE_ENGINE is kubernetes") as refused:
        executor_of(Home(tmp_path, Services(engine="kubernetes")))
    assert "'.[kubernetes]'" in refused.value.remedy


def test_celery_needs_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="THREADLINE_BROKER_URL"):
        Services(engine="celery")
    monkeypatch.setenv("THREADLINE_ENGINE", "celery")
    monkeypatch.setenv("THREADLINE_BROKER_URL", "redis://broker:6379/0")
    assert services_from_environment().broker_url == "redis://broker:6379/0"
    monkeypatch.setenv("THREADLINE_ENGINE", "slurm")
    with pytest.raises(ThreadlineError, match="THREADLINE_ENGINE"):
        services_from_environment()


def test_what_kills_its_process_each_time_is_given_up(tmp_path: Path) -> None:
    """An engine hands out again what its worker did not finish; the process is gone without a word each time."""
    home = Home(tmp_path)
    dead = []  # begun and never ended, as a killed process leaves them
    for number in range(1, DEATHS_A_RUN + 1):
        dead.append(attempt(home, "masks", "one", "inputs", "run", float(number)))
        dead[-1].__enter__()
        assert read_attempt(home, "masks", "one") == Attempt("masks", "one", "inputs", number, float(number), "run")
    with pytest.raises(ThreadlineError, match="its process died"), attempt(home, "masks", "one", "inputs", "run", 9.0):
        raise AssertionError("it was tried again")
    left = read_attempt(home, "masks", "one")
    assert left is not None and "died" in left.reason
    with attempt(home, "masks", "one", "inputs", "another run", 10.0):
        pass
    assert read_attempt(home, "masks", "one") is None, "a person may try it again"
