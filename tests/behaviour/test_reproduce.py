"""A release trained again from its own data, in another workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from orchestration.dvc_data import data_version
from orchestration.release_changes import release_changes
from orchestration.reproducing import reproduce
from tests.behaviour.test_change_table import new_articles
from tests.behaviour.tiny import better, tiny_preset
from tests.behaviour.world import World

pytestmark = pytest.mark.slow


def test_the_same_data_gives_the_same_package_though_the_data_has_moved_on(world: World, tmp_path: Path) -> None:
    first, _ = world.served()
    trained_from = data_version(world.workspace.root)
    world.configure(better(tiny_preset()))
    world.settle()
    version, _ = world.served()
    new_articles(world, "two", 2)
    again = tmp_path / "again"
    result = reproduce(world.workspace, version, again)
    assert (result.method, result.identical, result.differences) == ("reid_baseline", True, [])
    assert all(then == now for then, now in result.metrics.values())
    assert data_version(again) == trained_from != data_version(world.workspace.root)
    with pytest.raises(ThreadlineError, match="not empty"):
        reproduce(world.workspace, version, again)
    changes = release_changes(world.workspace, first, version)
    assert changes.identity["method"] == ("pretrained", "reid_baseline")
