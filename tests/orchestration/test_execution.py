"""Partitions that share a run: grouped by neighbourhood, recorded one by one, and none held up by another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from orchestration.asset import CATALOGUE_BATCH, Made, Step, asset
from orchestration.attempts import read_attempts
from orchestration.execution import RANGE_END, RANGE_START, grouped
from orchestration.freshness import Lineage
from orchestration.graph_resources import Watcher
from orchestration.resources import Workspace

BATCHES = [f"b{number}" for number in range(6)]
KEY = dg.AssetKey("vectors")


@asset(deps=["raw"], group="index", code=("orchestration.points",), partitions=CATALOGUE_BATCH)
def vectors(step: Step) -> Made:
    """One batch cannot be made."""
    if step.partition == "b2":
        raise ValueError("a picture is broken")
    return Made(f"version of {step.partition}", {"articles": 1})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(CATALOGUE_BATCH.name), BATCHES)
        for batch in BATCHES:
            event = dg.AssetMaterialization("raw", partition=batch, tags={DATA_VERSION_TAG: batch})
            instance.report_runless_asset_event(event)
        yield instance


def definitions(workspace: Workspace) -> dg.Definitions:
    given: dict[str, Any] = {"workspace": workspace, "watcher": Watcher(None)}
    raw = dg.AssetSpec("raw", partitions_def=CATALOGUE_BATCH)
    return dg.Definitions([raw, vectors], resources=given, executor=dg.in_process_executor)


def test_neighbouring_partitions_share_a_run(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    lineage = Lineage(instance, definitions(Workspace(tmp_path)).resolve_asset_graph())
    wave = [(KEY, batch) for batch in ("b0", "b1", "b3", "b5")]
    assert list(grouped(wave, lineage)) == [(KEY, ["b0", "b1"]), (KEY, ["b3"]), (KEY, ["b5"])]


def test_each_partition_of_a_run_is_recorded_and_a_broken_one_holds_up_no_other(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    found = definitions(workspace)
    result = found.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[KEY],
        tags={RANGE_START: "b0", RANGE_END: "b4"},
        raise_on_error=False,
    )
    assert not result.success
    lineage = Lineage(instance, found.resolve_asset_graph())
    versions = {batch: lineage.data_version(KEY, batch) for batch in BATCHES}
    made = {batch: f"version of {batch}" for batch in ("b0", "b1", "b3", "b4")}
    assert versions == {**dict.fromkeys(BATCHES), **made}
    assert lineage.out_of_date(KEY) == ["b2", "b5"]
    ((name, attempt),) = read_attempts(workspace.home).items()
    assert name == ("vectors", "b2") and attempt.reason == "a picture is broken"
