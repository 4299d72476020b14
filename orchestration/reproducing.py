"""Training a released model again: on the data it was trained from, in a workspace of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from contracts.errors import ThreadlineError
from contracts.model_package import ModelPackage, read_package
from contracts.registry import SERVING_MODEL
from orchestration import dvc_data
from orchestration.configuration import CONFIGURATION_FILE
from orchestration.definitions import build_definitions
from orchestration.execution import Ran, materialize
from orchestration.progress import Reporter
from orchestration.releasing import find_version
from orchestration.resources import Workspace
from orchestration.trainings import plain, read_outcome


@dataclass(frozen=True)
class Reproduction:
    """A released model and the one trained again, by metric; `differences` say why they need not be the same."""

    version: str
    method: str
    identical: bool
    metrics: dict[str, tuple[float | None, float | None]]
    differences: list[str]


def reproduce(workspace: Workspace, version: str, into: Path, report: Reporter | None = None) -> Reproduction:
    """Restore the data of release `version` into the new workspace `into`, train its model again, and compare.

    The data comes from DVC's cache, or from the remotes. Sides are those of this workspace: a garment that was
    tested on is tested on again. Raises ThreadlineError when `into` is not empty, or something cannot be had.
    """
    if into.exists() and any(into.iterdir()):
        raise ThreadlineError(f"{into} is not empty", "name a new directory")
    found = find_version(workspace, version)
    packages = workspace.home.package(found.digest).parent
    original = read_package(workspace.registry.fetch(SERVING_MODEL, version, packages))
    if not original.provenance.data_version:
        raise ThreadlineError(f"{original.method} was not trained from data", "choose a release of a trained model")
    dvc_data.restore(workspace.root, original.provenance.data_version, into)
    shutil.copy2(workspace.root / CONFIGURATION_FILE, into / CONFIGURATION_FILE)
    again = workspace.elsewhere(into)
    again.home.root.mkdir(parents=True)
    again.home.splits.write_bytes(workspace.home.splits.read_bytes())
    done = materialize(again, report, assets=_upstream(again, original.method))
    if done.failed:
        raise ThreadlineError(f"training it again failed: {_told(done.failed)}", f"see it in the workspace {into}")
    outcome = read_outcome(again.home, original.method)
    if outcome.digest is None:
        raise ThreadlineError(f"it cannot be trained again: {outcome.reason}", "compare the data of both workspaces")
    return _compared(version, original, read_package(again.home.package(outcome.digest)), again)


def _upstream(workspace: Workspace, method: str) -> set[dg.AssetKey]:
    graph = build_definitions(workspace).resolve_asset_graph()
    return set(dg.AssetSelection.assets(method).upstream().resolve(graph))


def _compared(version: str, original: ModelPackage, again: ModelPackage, workspace: Workspace) -> Reproduction:
    names = sorted({*original.metrics, *again.metrics})
    before, after = original.provenance, again.provenance
    differences = []
    if before.code_version != after.code_version:
        differences.append("the code, or a library it leans on, is another than then")
    if before.config != plain(getattr(workspace.preset, original.method)):
        differences.append("the configuration is another than then")
    differences += [
        f"{name} is another than then" for name in before.inputs if before.inputs[name] != after.inputs[name]
    ]
    return Reproduction(
        version,
        original.method,
        original.digest == again.digest,
        {name: (original.metrics.get(name), again.metrics.get(name)) for name in names},
        differences,
    )


def _told(failed: list[Ran]) -> str:
    return "; ".join(f"{ran.label}: {ran.error}" for ran in failed)
