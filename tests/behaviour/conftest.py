"""One built workspace for all behaviour tests; each test starts from a copy of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from orchestration.execution import materialize
from tests.behaviour.tiny import TinyWorkspace, make_tiny
from tests.behaviour.world import World, counting


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with everything trained, indexed and released once; never changed.

    The processes that share the tests share it as well: the first one builds, the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    root, done = folder / "built", folder / "built.done"
    with FileLock(folder / "built.lock"):
        if not done.exists():
            make_tiny(root)
            made = materialize(TinyWorkspace(root))
            assert not made.failed, made.failed
            done.touch()
    return root


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the built workspace."""
    place = tmp_path / "workspace"
    shutil.copytree(built, place, symlinks=True)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def world(place: Path) -> Iterator[World]:
    """The copy, with counters on the inference sessions and on the index."""
    found = World(place)
    with counting(found):
        yield found
