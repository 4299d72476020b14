"""What would run for the present data, code and configuration, and why; nothing is run or written."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from contracts.model_package import read_package
from orchestration.definitions import build_definitions
from orchestration.execution import Target
from orchestration.freshness import CODE_TAG, INPUT_TAG, Lineage
from orchestration.instance import open_instance
from orchestration.observation import observe, untold
from orchestration.resources import Workspace
from orchestration.trainings import plain, read_outcome


@dataclass(frozen=True)
class Planned:
    """An asset, or a partition of one, that would run: for certain, or only if an input's content turns out changed."""

    asset: str
    partition: str | None
    certain: bool
    reasons: tuple[str, ...]


def plan(workspace: Workspace) -> list[Planned]:
    """What a `threadline materialize` would run now, upstream first, batches that nobody was told of included."""
    with open_instance(workspace.home) as instance:
        graph = build_definitions(workspace).resolve_asset_graph()
        lineage = Lineage(instance, graph, untold(observe(workspace, instance, graph), instance))
        planned: dict[Target, Planned] = {}
        for key in graph.toposorted_asset_keys:
            if graph.get(key).is_materializable:
                for partition in lineage.partitions(key):
                    found = _planned(workspace, lineage, planned, key, partition)
                    if found is not None:
                        planned[key, partition] = found
    return list(planned.values())


def _planned(
    workspace: Workspace, lineage: Lineage, upstream: dict[Target, Planned], key: dg.AssetKey, partition: str | None
) -> Planned | None:
    name = key.to_user_string()
    recorded = lineage.recorded(key, partition)
    if not recorded:
        return Planned(name, partition, True, ("it was never made",))
    changed = lineage.inputs(key, partition) is None or lineage.stale(key, partition)
    if changed:
        return Planned(name, partition, True, tuple(_reasons(workspace, lineage, key, partition)))
    pending = sorted(
        {parent.to_user_string() for parent, p in lineage.needed(key, partition) if (parent, p) in upstream}
    )
    if pending:
        return Planned(name, partition, False, tuple(f"{parent} runs and may turn out changed" for parent in pending))
    return None


def _reasons(workspace: Workspace, lineage: Lineage, key: dg.AssetKey, partition: str | None) -> list[str]:
    recorded = lineage.recorded(key, partition)
    reasons = []
    if recorded.get(CODE_TAG) != lineage.code_version(key):
        reasons.append(_code_reason(workspace, key.to_user_string()))
    for name, digest in lineage.input_digests(key, partition).items():
        if recorded.get(INPUT_TAG + name) != digest:
            reasons.append(f"{name} changed")
    return reasons


def _code_reason(workspace: Workspace, name: str) -> str:
    """Whether a model's own hyperparameters changed; anything else that shapes an asset is its code."""
    config = getattr(workspace.preset, name, None)
    digest = read_outcome(workspace.home, name).digest if config is not None else None
    if digest and read_package(workspace.package(digest)).provenance.config != plain(config):
        return "its configuration changed"
    return "its code, or a library it leans on, changed"
