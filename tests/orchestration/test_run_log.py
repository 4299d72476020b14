"""A run's lines say run, asset and partition, whoever writes them; a failure keeps its traceback."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution import context_creation_job

from contracts.logs import handler_for
from orchestration.asset import Made, Step, asset
from orchestration.graph_resources import resources
from orchestration.resources import Workspace
from orchestration.run_log import log_runs_here

DAYS = dg.StaticPartitionsDefinition(["may"])
LIBRARY = logging.getLogger("threadline.library")


@asset(deps=[], group="test", code=(), partitions=DAYS)
def sorted_photos(step: Step) -> Made:
    """Tells of itself through a library's logger."""
    LIBRARY.warning("half of them are sorted")
    if step.workspace.root.name == "broken":
        raise ValueError("postgresql+psycopg2://shop:s3cret@db is away")
    return Made("1")


def lines_of_a_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(context_creation_job, "default_system_loggers", context_creation_job.default_system_loggers)
    log_runs_here()
    handler = handler_for(stream)
    LIBRARY.addHandler(handler)
    try:
        definitions = dg.Definitions([sorted_photos], resources=resources(Workspace(root), None))
        job = definitions.resolve_implicit_global_asset_job_def()
        job.execute_in_process(partition_key="may", raise_on_error=False)
    finally:
        LIBRARY.removeHandler(handler)
    assert "s3cret" not in stream.getvalue()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_of_a_run_says_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of_a_run(tmp_path, monkeypatch)
    (own,) = [line for line in lines if line["logger"] == "threadline.library"]
    assert (own["asset"], own["partition"]) == ("sorted_photos", "may")
    of_dagster = [line for line in lines if line["logger"] == "dagster"]
    assert {line["run"] for line in of_dagster if line.get("asset") == "sorted_photos"} == {own["run"]}


def test_a_failure_is_told_with_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of_a_run(tmp_path / "broken", monkeypatch)
    failures = [line["message"] for line in lines if line["level"] == "ERROR" and line["logger"] == "dagster"]
    assert any(("is away" in message and "Traceback" in message) or "Stack Trace" in message for message in failures)
