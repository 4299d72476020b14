"""A change of any module that shapes a model makes that model out of date: the assets name all that they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.asset import CODE
from orchestration.definitions import build_definitions
from orchestration.resources import Workspace

ROOT = Path(__file__).resolve().parent.parent.parent
SHAPES_NO_WEIGHT = {
    *("training.allocation", "training.context", "training.plots"),  # memory, surroundings, pictures for people
    *("training.configs", "training.sets"),  # their values are part of the configuration's digest and of the data's
    *("contracts.errors", "contracts.files", "contracts.model_package", "contracts.quiet"),
}
TRAININGS = {
    "street2fashion": "training.street2fashion",
    "fashion_dna": "training.fashion_dna",
    "studio2shop": "training.matching",
    "fashion2shop": "training.matching",
    "reid_baseline": "training.reid_baseline",
}


def path_of(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def imported(module: str) -> Iterator[str]:
    """The modules of this project that `module` imports, wherever in it."""
    for node in ast.walk(ast.parse(path_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from (name for name in names if name.startswith(("training", "contracts")) and path_of(name).exists())


def everything_behind(module: str) -> set[str]:
    found, waiting = {module}, [module]
    while waiting:
        new = set(imported(waiting.pop())) - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_names_every_module_behind_it(name: str) -> None:
    node = build_definitions(Workspace(Path())).resolve_asset_graph().get(dg.AssetKey(name))
    named = set(str(node.metadata[CODE]).split())
    assert everything_behind(TRAININGS[name]) - SHAPES_NO_WEIGHT <= named
