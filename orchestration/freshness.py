"""When an asset is out of date: the one automation condition of the graph.

Each materialisation records a digest of what it was made from: the data versions of its dependencies and its own
code version. An asset (or a partition of one) is out of date when it has never been made, or when that digest
differs from the one of today. The rule keeps no state of its own, so a killed process, a failed run, or a change
made while nobody watched are all seen at the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from contracts.files import digest_of

INPUTS_TAG = "threadline/inputs"
CODE_TAG = "threadline/code"
INPUT_TAG = "threadline/input."
"""Followed by the dependency's name: which of them changed can be told."""

TAKEN_AS_IT_STANDS = {
    dg.AssetKey("article_dna"): dg.AssetKey("fashion_dna"),
    dg.AssetKey("candidate"): dg.AssetKey("retrieval_report"),
}
"""Asset -> the dependency that it does not wait for, but takes as it is.

Trainings take hours, fail, or are cancelled: prices, new articles and a rollback go on with the model there is.
"""

_EVENT = dg.DagsterEventType.ASSET_MATERIALIZATION


@dataclass(frozen=True)
class Untold:
    """What the instance was not told yet: data versions by asset and partition, and partitions by definition's name."""

    versions: Mapping[tuple[dg.AssetKey, str | None], str] = field(default_factory=dict)
    partitions: Mapping[str, list[str]] = field(default_factory=dict)


class Lineage:
    """What the instance knows of each asset: data versions and recorded inputs, read once and kept.

    With `untold` it answers as if the instance had been told that too.
    """

    def __init__(self, instance: dg.DagsterInstance, graph: Any, untold: Untold = Untold()) -> None:
        self._instance = instance
        self._graph = graph
        self._untold = untold
        self._partitions: dict[str, list[str]] = {}
        self._single: Mapping[dg.AssetKey, Mapping[str, str]] | None = None
        self._tags: dict[dg.AssetKey, Mapping[str | None, Mapping[str, str]]] = {}
        self._stale: dict[tuple[dg.AssetKey, str | None], bool] = {}
        self._settled: dict[tuple[dg.AssetKey, str | None], bool] = {}

    def partitions(self, key: dg.AssetKey) -> list[str | None]:
        """The partitions that there are now; `[None]` for an unpartitioned asset."""
        definition = self._graph.get(key).partitions_def
        if definition is None:
            return [None]
        if definition.name not in self._partitions:
            told = definition.get_partition_keys(dynamic_partitions_store=self._instance)
            self._partitions[definition.name] = self._untold.partitions.get(definition.name, list(told))
        return list(self._partitions[definition.name])

    def data_version(self, key: dg.AssetKey, partition: str | None = None) -> str | None:
        """The data version of the latest materialisation; None when there is none."""
        if (key, partition) in self._untold.versions:
            return self._untold.versions[key, partition]
        return self._latest(key).get(partition, {}).get(DATA_VERSION_TAG)

    def code_version(self, key: dg.AssetKey) -> str:
        """The code version that the asset has now."""
        return self._graph.get(key).code_version or ""

    def recorded(self, key: dg.AssetKey, partition: str | None = None) -> Mapping[str, str]:
        """The tags of the latest materialisation; empty when there is none."""
        return self._latest(key).get(partition, {})

    def inputs(self, key: dg.AssetKey, partition: str | None = None) -> str | None:
        """The digest of what a materialisation would be made from now; None while a dependency is missing."""
        versions = self._input_versions(key, partition)
        if any(None in found.values() for found in versions.values()):
            return None
        return digest_of([versions, self._graph.get(key).code_version])[:32]

    def tags(self, key: dg.AssetKey, partition: str | None = None) -> dict[str, str]:
        """What a materialisation records of what it is made from now: all of it, and each part."""
        parts = {INPUT_TAG + name: digest for name, digest in self.input_digests(key, partition).items()}
        return {INPUTS_TAG: self.inputs(key, partition) or "incomplete", CODE_TAG: self.code_version(key), **parts}

    def input_digests(self, key: dg.AssetKey, partition: str | None = None) -> dict[str, str]:
        """Dependency -> digest of its data versions, as far as they are there."""
        return {name: digest_of(found)[:16] for name, found in self._input_versions(key, partition).items()}

    def stale(self, key: dg.AssetKey, partition: str | None = None) -> bool:
        """Whether what there is differs from what would be made now; never true of what nothing here makes."""
        if (key, partition) not in self._stale:
            wanted = self.inputs(key, partition) if self._graph.get(key).is_materializable else None
            self._stale[key, partition] = wanted is not None and wanted != self.recorded(key, partition).get(INPUTS_TAG)
        return self._stale[key, partition]

    def settled(self, key: dg.AssetKey, partition: str | None = None) -> bool:
        """Whether nothing that this waits for, however far upstream, is stale itself."""
        if (key, partition) not in self._settled:
            self._settled[key, partition] = all(
                not self.stale(parent, needed) and self.settled(parent, needed)
                for parent, needed in self.awaited(key, partition)
            )
        return self._settled[key, partition]

    def out_of_date(self, key: dg.AssetKey) -> list[str | None]:
        """The partitions (`[None]` for an unpartitioned asset) that should be made now.

        Those whose own inputs are still to be made anew wait, so that nothing is made twice for one change.
        """
        return [p for p in self.partitions(key) if self.stale(key, p) and self.settled(key, p)]

    def needed(self, key: dg.AssetKey, partition: str | None = None) -> list[tuple[dg.AssetKey, str | None]]:
        """What this is directly made from."""
        parents = sorted(self._graph.get(key).parent_keys)
        return [(parent, needed) for parent in parents for needed in self._needed(key, parent, partition)]

    def awaited(self, key: dg.AssetKey, partition: str | None = None) -> list[tuple[dg.AssetKey, str | None]]:
        """What of that has to be up to date first."""
        return [one for one in self.needed(key, partition) if one[0] != TAKEN_AS_IT_STANDS.get(key)]

    def _input_versions(self, key: dg.AssetKey, partition: str | None) -> dict[str, dict[str, str | None]]:
        return {
            parent.to_user_string(): {
                str(needed): self.data_version(parent, needed) for needed in self._needed(key, parent, partition)
            }
            for parent in sorted(self._graph.get(key).parent_keys)
        }

    def _needed(self, key: dg.AssetKey, parent: dg.AssetKey, partition: str | None) -> list[str | None]:
        """The same partition where both have the same partitions; else all that the parent has."""
        if partition is not None and self._graph.get(parent).partitions_def == self._graph.get(key).partitions_def:
            return [partition]
        return self.partitions(parent)

    def _latest(self, key: dg.AssetKey) -> Mapping[str | None, Mapping[str, str]]:
        if key not in self._tags:
            self._tags[key] = self._read(key)
        return self._tags[key]

    def _read(self, key: dg.AssetKey) -> Mapping[str | None, Mapping[str, str]]:
        if self._graph.get(key).partitions_def is not None:
            return self._read_partitions(key)
        if self._single is None:
            self._single = self._read_unpartitioned()
        return {None: self._single[key]} if key in self._single else {}

    def _read_unpartitioned(self) -> Mapping[dg.AssetKey, Mapping[str, str]]:
        """All of them with one query: each costs as much as this one."""
        keys = [key for key in self._graph.get_all_asset_keys() if self._graph.get(key).partitions_def is None]
        events = self._instance.event_log_storage.get_latest_materialization_events(keys)
        made = {key: event.asset_materialization for key, event in events.items() if event is not None}
        return {key: dict(one.tags or {}) for key, one in made.items() if one is not None}

    def _read_partitions(self, key: dg.AssetKey) -> Mapping[str | None, Mapping[str, str]]:
        ids = self._instance.event_log_storage.get_latest_storage_id_by_partition(key, _EVENT)
        if not ids:
            return {}
        wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(ids.values()))
        records = self._instance.fetch_materializations(wanted, limit=len(ids)).records
        return {r.partition_key: dict(r.asset_materialization.tags or {}) for r in records if r.asset_materialization}


MayTry = Callable[[Lineage, dg.AssetKey, str | None], bool]
"""(what is known, asset, partition) -> whether the automation may try; False after too many failures."""


@dataclass(frozen=True)
class Look:
    """What one evaluation sees of the instance: what is being made, and what there is."""

    being_made: frozenset[tuple[dg.AssetKey, str | None]]
    lineage: Lineage

    def wanted(self, key: dg.AssetKey) -> list[str | None]:
        """The partitions that are out of date, while neither they nor what they wait for is being made."""
        return [
            partition
            for partition in self.lineage.out_of_date(key)
            if self.being_made.isdisjoint([(key, partition), *self.lineage.awaited(key, partition)])
        ]


_LOOKS: WeakKeyDictionary[AssetGraphView, Look] = WeakKeyDictionary()
"""One look for all assets of an evaluation, which Dagster gives one view."""


class OutOfDate(dg.AutomationCondition[dg.AssetKey]):
    """True for what `Look.wanted` names and `may_try` lets pass.

    Dagster's own `any_deps_in_progress() | in_progress()` says the same at ten times the cost: it is evaluated, and
    remembered, for each dependency of each asset.
    """

    def __init__(self, may_try: MayTry = lambda lineage, key, partition: True) -> None:
        self._may_try = may_try

    @property
    def name(self) -> str:
        """The label in Dagster's pages."""
        return "out of date"

    @property
    def description(self) -> str:
        """Shown beside it."""
        return "Made from something else than there is now; neither it nor what it waits for is being made."

    async def evaluate(  # type: ignore[override] # Dagster awaits it
        self, context: dg.AutomationContext[dg.AssetKey]
    ) -> dg.AutomationResult[dg.AssetKey]:
        """Dagster's hook: the subset of the candidates that should be made now."""
        view, key = context.asset_graph_view, context.key
        if view not in _LOOKS:
            _LOOKS.setdefault(view, await _look(view))
        look = _LOOKS[view]
        stale = [p for p in look.wanted(key) if self._may_try(look.lineage, key, p)]
        partitions = context.partitions_def
        if not stale:
            subset = context.get_empty_subset()
        elif partitions is None:
            subset = view.get_full_subset(key=key)
        else:
            keys = {partition for partition in stale if partition is not None}
            subset = view.get_subset_from_partition_keys(key, partitions, keys)
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection(subset))


async def _look(view: AssetGraphView) -> Look:
    """In this order: what is finished meanwhile was still being made, or is up to date, never neither."""
    being_made = [one for key in view.asset_graph.get_all_asset_keys() for one in await _being_made(view, key)]
    return Look(frozenset(being_made), Lineage(view.instance, view.asset_graph))


async def _being_made(view: AssetGraphView, key: dg.AssetKey) -> Iterable[tuple[dg.AssetKey, str | None]]:
    """What runs and backfills that are queued or at work are to make of an asset."""
    everything = view.get_full_subset(key=key)
    runs = await view.compute_run_in_progress_subset(key=key, from_subset=everything)
    backfills = await view.compute_backfill_in_progress_subset(key=key, from_subset=everything)
    busy = runs.compute_union(backfills)
    if busy.is_partitioned:
        return [(key, partition) for partition in busy.expensively_compute_partition_keys()]
    return [] if busy.is_empty else [(key, None)]
