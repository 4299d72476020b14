"""How a workspace stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from contracts.registry import Release
from orchestration.attempts import Attempt
from orchestration.candidates import Candidate, read_choice
from orchestration.decisions import Pin, read_pin
from orchestration.definitions import build_definitions
from orchestration.dvc_data import data_version
from orchestration.freshness import Lineage
from orchestration.instance import open_instance
from orchestration.observation import observe, untold
from orchestration.resources import Workspace
from orchestration.runs import wanted_attempts
from orchestration.trainings import Outcome, read_outcome

MODELS = ("street2fashion", "fashion_dna", "studio2shop", "fashion2shop", "reid_baseline", "pretrained")

Named = tuple[str, str | None]
Target = tuple[dg.AssetKey, str | None]


@dataclass(frozen=True)
class Status:
    """What serves, what there is, what is out of date, what waits for that, and what failed.

    `raw_changed` says that batches came, changed or went since the graph was last told. `proposed` waits for an
    approval.
    """

    release: Release | None
    data_version: str
    preset: str
    models: list[tuple[str, Outcome]]
    raw_changed: bool
    out_of_date: list[Named]
    waiting: list[Named]
    failed: list[tuple[str, str]]
    pin: Pin | None
    proposed: Candidate | None

    def as_json(self) -> dict[str, Any]:
        """The status as plain values."""
        return {
            "release": asdict(self.release) if self.release else None,
            "data_version": self.data_version,
            "preset": self.preset,
            "models": {name: asdict(outcome) for name, outcome in self.models},
            "raw_changed": self.raw_changed,
            "out_of_date": self.out_of_date,
            "waiting": self.waiting,
            "pin": asdict(self.pin) if self.pin else None,
            "proposed": asdict(self.proposed) if self.proposed else None,
            "failed": [{"asset": asset, "reason": reason} for asset, reason in self.failed],
        }


def read_status(workspace: Workspace) -> Status:
    """Look at everything; nothing is changed."""
    with open_instance(workspace.home) as instance:
        graph = build_definitions(workspace).resolve_asset_graph()
        observed = observe(workspace, instance, graph)
        lineage = Lineage(instance, graph, untold(observed, instance))
        ready, waiting = unmade(graph, lineage)
        return Status(
            release=workspace.registry.champion(),
            data_version=data_version(workspace.root),
            preset=workspace.configuration.preset,
            models=_models(workspace),
            raw_changed=bool(observed),
            out_of_date=[(key.to_user_string(), partition) for key, partition in ready],
            waiting=[(key.to_user_string(), partition) for key, partition in waiting],
            failed=[_named(one) for one in wanted_attempts(workspace.home, graph, lineage)],
            pin=read_pin(workspace.home),
            proposed=read_choice(workspace.home).proposed,
        )


def unmade(graph: dg.AssetGraph, lineage: Lineage) -> tuple[list[Target], list[Target]]:
    """What is out of date and can be made now, and what waits for that or was never made; upstream first."""
    there = [(key, p) for key in graph.toposorted_asset_keys for p in lineage.partitions(key)]
    stale = [target for target in there if lineage.stale(*target)]
    missing = [target for target in there if lineage.data_version(*target) is None]
    ready = [target for target in stale if lineage.settled(*target)]
    now = set(ready)
    return ready, [target for target in dict.fromkeys([*stale, *missing]) if target not in now]


def _models(workspace: Workspace) -> list[tuple[str, Outcome]]:
    present = [name for name in MODELS if workspace.home.derived(f"model-{name}").exists()]
    return [(name, read_outcome(workspace.home, name)) for name in present]


def _named(left: Attempt) -> tuple[str, str]:
    """What was tried and did not succeed, with the reason and the run that tells more."""
    reason = left.reason or "it runs, or its process was killed"
    name = f"{left.asset} [{left.partition}]" if left.partition else left.asset
    return name, f"{reason} (attempt {left.count}, run {left.run_id})"
