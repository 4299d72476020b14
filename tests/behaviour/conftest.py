"""One built workspace for all behaviour tests; each test starts from a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.execution import materialize
from tests.behaviour.tiny import TinyWorkspace, make_tiny
from tests.behaviour.world import World, counting


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with everything trained, indexed and released once; never changed."""
    root = tmp_path_factory.mktemp("built")
    make_tiny(root)
    done = materialize(TinyWorkspace(root))
    assert not done.failed, done.failed
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
