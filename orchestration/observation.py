"""Telling Dagster what comes from outside now: batches as DVC's manifest names them, and people's decisions."""

from __future__ import annotations

import time
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from contracts.batches import KINDS, Kind
from contracts.query_log import last_whole_day
from orchestration.admission import admission_time
from orchestration.asset import CATALOGUE_BATCH, STREET_BATCH
from orchestration.decisions import decision_versions
from orchestration.dvc_data import batches_of, data_version
from orchestration.freshness import Lineage, Untold
from orchestration.resources import Workspace
from orchestration.verdict_checks import untold_checks

PARTITIONS: dict[Kind, dg.DynamicPartitionsDefinition] = {"catalogue": CATALOGUE_BATCH, "street": STREET_BATCH}


@dataclass(frozen=True)
class Observed:
    """What changed since Dagster was last told. The `checks` change nothing that is made from the data."""

    added: dict[Kind, list[str]]
    removed: dict[Kind, list[str]]
    events: list[dg.AssetMaterialization]
    checks: list[dg.AssetCheckEvaluation]

    def __bool__(self) -> bool:
        return bool(self.events) or any(self.added.values()) or any(self.removed.values())


def observe(workspace: Workspace, instance: dg.DagsterInstance, graph: dg.AssetGraph) -> Observed:
    """Compare the manifest with what `instance` knows; nothing is written."""
    data = data_version(workspace.root)
    digests = batches_of(workspace.root, data)
    lineage = Lineage(instance, graph)
    single = {
        "data_manifest": data or "empty",
        "admission": admission_time(workspace.configuration.retraining.schedule, time.time()),
        **decision_versions(workspace.home),
        "query_log": last_whole_day(workspace.home.queries, time.time()) or "none",
    }
    events = [
        _event(key, version, None)
        for key, version in single.items()
        if lineage.data_version(dg.AssetKey(key)) != version
    ]
    added: dict[Kind, list[str]] = {}
    removed: dict[Kind, list[str]] = {}
    there: dict[Kind, list[str]] = {}
    for kind in KINDS:
        now = {batch: digest[:32] for (one, batch), digest in digests.items() if one == kind}
        known = PARTITIONS[kind].get_partition_keys(dynamic_partitions_store=instance)
        there[kind] = sorted(now)
        added[kind] = sorted(set(now) - set(known))
        removed[kind] = sorted(set(known) - set(now))
        key = f"{kind}_batches"
        events += [
            _event(key, version, batch)
            for batch, version in sorted(now.items())
            if lineage.data_version(dg.AssetKey(key), batch) != version
        ]
    return Observed(added, removed, events, untold_checks(workspace, instance, there))


def untold(observed: Observed, instance: dg.DagsterInstance) -> Untold:
    """What `observe` found, for a `Lineage` that looks ahead of what `instance` was told."""
    partitions = {}
    for kind, definition in PARTITIONS.items():
        known = definition.get_partition_keys(dynamic_partitions_store=instance)
        there = [batch for batch in known if batch not in observed.removed[kind]]
        partitions[str(definition.name)] = there + observed.added[kind]
    versions = {(event.asset_key, event.partition): (event.tags or {})[DATA_VERSION_TAG] for event in observed.events}
    return Untold(versions, partitions)


def record(observed: Observed, instance: dg.DagsterInstance) -> None:
    """Tell `instance` what `observe` found."""
    for kind, partitions in PARTITIONS.items():
        name = str(partitions.name)
        if observed.added[kind]:
            instance.add_dynamic_partitions(name, observed.added[kind])
        for batch in observed.removed[kind]:
            instance.delete_dynamic_partition(name, batch)
    for event in observed.events:
        instance.report_runless_asset_event(event)
    for check in observed.checks:
        instance.report_runless_asset_event(check)


def _event(key: str, version: str, partition: str | None) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(key, partition=partition, tags={DATA_VERSION_TAG: version})
