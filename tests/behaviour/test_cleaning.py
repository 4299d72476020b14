"""What superseded models left behind goes; what serves, or may serve again at once, stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.errors import ThreadlineError
from orchestration.cleaning import CHECKPOINTS_S, clean
from orchestration.cli.main import app
from orchestration.execution import materialize
from orchestration.locks import alone
from orchestration.runs import lock_of
from tests.behaviour.world import World

pytestmark = pytest.mark.slow

OLD = "0" * 16


def left_behind(home: Path) -> set[Path]:
    """Directories as models that were superseded leave them, and what must not be taken for one of them."""
    old = {
        home / "features" / f"{OLD}-float32",
        home / "masks" / f"{OLD}-float32",
        home / "report" / f"studio2shop-{OLD[:8]}",
        home / "checkpoints" / "abandoned",
    }
    for place in (*old, home / "checkpoints" / "resumable", home / "report" / "somebody's-notes"):
        place.mkdir(parents=True)
        (place / "file").write_bytes(b"1234")
    for path in (home / "checkpoints" / "abandoned", home / "checkpoints" / "abandoned" / "file"):
        os.utime(path, (path.stat().st_mtime - CHECKPOINTS_S - 60,) * 2)
    (home / "evaluations" / f"{OLD}-looks.json").write_text("[]")
    return old


def directories(home: Path) -> set[Path]:
    return {path for path in home.rglob("*") if path.is_dir() and ".open" not in path.parts}


def test_what_superseded_models_left_goes_and_nothing_else(world: World) -> None:
    home = world.workspace.home
    before = directories(home.root)
    old = left_behind(home.root)
    asked = ["clean", "--json", "--workspace", str(world.workspace.root)]
    told = CliRunner().invoke(app, [*asked, "--dry-run"])
    assert told.exit_code == 0, told.output
    assert {Path(one["path"]) for one in json.loads(told.stdout)["found"]} == old
    assert all(path.exists() for path in old)

    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert {one["bytes"] for one in json.loads(done.stdout)["found"]} == {4}
    kept = {home.root / "checkpoints" / "resumable", home.root / "report" / "somebody's-notes"}
    assert directories(home.root) >= before | kept and not any(path.exists() for path in old)
    assert not (home.root / "evaluations" / f"{OLD}-looks.json").exists()
    assert clean(world.workspace) == []
    assert materialize(world.workspace).ran == []
    world.served()


def test_nothing_is_removed_under_somebody_s_hands(world: World) -> None:
    lock = world.workspace.home.lock(lock_of("daemon"))
    with alone(lock, "this test"), pytest.raises(ThreadlineError, match="works in this workspace already"):
        clean(world.workspace)
