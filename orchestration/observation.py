"""Telling Dagster what raw data there is now: partitions and data versions, read from DVC's manifest."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from contracts.batches import KINDS, Kind
from orchestration.asset import CATALOGUE_BATCH, STREET_BATCH
from orchestration.dvc_data import batch_digests, manifest
from orchestration.freshness import Lineage
from orchestration.resources import Workspace

PARTITIONS: dict[Kind, dg.DynamicPartitionsDefinition] = {"catalogue": CATALOGUE_BATCH, "street": STREET_BATCH}


@dataclass(frozen=True)
class Observed:
    """What changed in the raw data since Dagster was last told."""

    added: dict[Kind, list[str]]
    removed: dict[Kind, list[str]]
    events: list[dg.AssetMaterialization]

    def __bool__(self) -> bool:
        return bool(self.events) or any(self.added.values()) or any(self.removed.values())


def observe(workspace: Workspace, instance: dg.DagsterInstance, graph: dg.AssetGraph) -> Observed:
    """Compare the manifest with what `instance` knows; nothing is written."""
    present = manifest(workspace.root)
    digests = batch_digests(present.files)
    lineage = Lineage(instance, graph)
    events = []
    if lineage.data_version(dg.AssetKey("data_manifest")) != (present.md5 or "empty"):
        events.append(_event("data_manifest", present.md5 or "empty", None))
    added: dict[Kind, list[str]] = {}
    removed: dict[Kind, list[str]] = {}
    for kind in KINDS:
        now = {batch: digest[:32] for (one, batch), digest in digests.items() if one == kind}
        known = PARTITIONS[kind].get_partition_keys(dynamic_partitions_store=instance)
        added[kind] = sorted(set(now) - set(known))
        removed[kind] = sorted(set(known) - set(now))
        key = f"{kind}_batches"
        events += [
            _event(key, version, batch)
            for batch, version in sorted(now.items())
            if lineage.data_version(dg.AssetKey(key), batch) != version
        ]
    return Observed(added, removed, events)


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


def _event(key: str, version: str, partition: str | None) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(key, partition=partition, tags={DATA_VERSION_TAG: version})
