"""Killed anywhere with the daemon up, and started again: the end is that of an undisturbed run."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from orchestration.attempts import read_attempts
from orchestration.definitions import build_definitions
from orchestration.execution import materialize, open_instance
from orchestration.freshness import Lineage
from orchestration.intake import accept
from tests.behaviour.delivery import (
    BATCH,
    PICTURES,
    POINTS,
    deliver,
    killed_at,
    note_work,
    noted_work,
)
from tests.behaviour.tiny import TinyWorkspace
from tests.behaviour.under_daemon import daemon, settled, watch
from tests.behaviour.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RAW = {"data_manifest", "catalogue_batches", "street_batches"}
UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def under_a_deadly_daemon(root: Path, checkout: Path) -> None:
    """Start the daemon over the delivery, and again whenever it was killed, until all is done."""
    world = World(root)
    places, at_rest = world.workspace.places, settled(world)
    while True:
        with daemon(root, checkout, "tests.behaviour.deadly_location") as process:

            def over(instance: dg.DagsterInstance) -> bool:
                delivered = places.delivered("street", BATCH).exists()
                return process.poll() is not None or (not delivered and at_rest(instance))

            watch(world, over)
            if process.poll() is None:
                return


def one_run_at_a_time(root: Path) -> None:
    """Let nothing else be at work when something is killed, so that what is done twice is that alone."""
    settings = root / ".threadline" / "dagster" / "dagster.yaml"
    before = settings.read_text(encoding="utf-8")
    settings.write_text(before.replace("max_concurrent_runs: 4", "max_concurrent_runs: 1"), encoding="utf-8")
    assert settings.read_text(encoding="utf-8") != before


def undisturbed(root: Path) -> None:
    """Do the same at once, in this process."""
    workspace = TinyWorkspace(root)
    with pytest.MonkeyPatch.context() as patch:
        note_work(root, patch)
        accept(workspace.places, "street", BATCH, "a steward")
        done = materialize(workspace)
    assert not done.failed, done.failed


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
    allowed = dict.fromkeys(undisturbed, 0) | {killed_training: undisturbed[killed_training] // 2}  # of two epochs
    allowed |= {what: PICTURES for what in undisturbed if what.startswith("PackageSession")}
    return [what for what, count in disturbed.items() if count > undisturbed[what] + allowed[what]]


def test_killed_at_every_point_with_the_daemon_up(built: Path, tmp_path: Path, checkout: Path) -> None:
    roots = tmp_path / "disturbed", tmp_path / "undisturbed"
    for root in roots:
        shutil.copytree(built, root, symlinks=True)
        deliver(TinyWorkspace(root))
    one_run_at_a_time(roots[0])
    under_a_deadly_daemon(roots[0], checkout)
    undisturbed(roots[1])
    assert sorted(killed_at(roots[0])) == sorted(POINTS)
    end = end_state(roots[0])
    assert end == end_state(roots[1])
    assert end["unfinished"] == []
    assert done_twice(noted_work(roots[0]), noted_work(roots[1])) == []
    assert read_attempts(TinyWorkspace(roots[0]).home) == {}
    index = roots[0] / ".threadline" / "index"
    assert [path for path in index.glob("*/.*") if path.name != ".lock"] == [], "nothing half-made is left"
