"""The automation rule on small graphs: what is asked for after which change, through Dagster's own evaluation."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill

from orchestration import freshness
from orchestration.freshness import INPUTS_TAG, Lineage, OutOfDate

BATCH = dg.DynamicPartitionsDefinition(name="batch")


class World:
    """raw [batch] -> vectors [batch] -> index; model -> vectors; index, model -> release."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.versions: dict[str, str] = {"model": "m1", "index": "i1", "release": "r1"}
        self.failing: set[str] = set()
        self.given_up: set[str] = set()
        self.code = "1"

    def definitions(self) -> dg.Definitions:
        raw = dg.AssetSpec("raw", partitions_def=BATCH)
        return dg.Definitions(
            assets=[
                raw,
                self._asset("model", [], None),
                self._asset("vectors", ["raw", "model"], BATCH),
                self._asset("index", ["vectors"], None),
                self._asset("release", ["index", "model"], None),
            ]
        )

    def _asset(
        self, name: str, deps: list[str], partitions: dg.PartitionsDefinition[str] | None
    ) -> dg.AssetsDefinition:
        @dg.asset(
            name=name,
            deps=deps,
            partitions_def=partitions,
            code_version=self.code,
            automation_condition=OutOfDate(lambda lineage, key, partition: name not in self.given_up),
        )
        def body(context: dg.AssetExecutionContext) -> Any:
            if name in self.failing:
                raise RuntimeError("on purpose")
            lineage = Lineage(context.instance, context.job_def.asset_layer.asset_graph)
            partition = context.partition_key if context.has_partition_key else None
            version = self.versions.get(name) or f"{partition}-{self.versions['model']}"
            inputs = lineage.inputs(context.asset_key, partition)
            return dg.MaterializeResult(data_version=dg.DataVersion(version), tags={INPUTS_TAG: inputs or ""})

        return body

    def deliver(self, batch: str, version: str) -> None:
        self.instance.add_dynamic_partitions("batch", [batch])
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization("raw", partition=batch, tags={"dagster/data_version": version})
        )

    def tick(self) -> set[str]:
        """Evaluate once, run what is asked for, and name it."""
        definitions = self.definitions()
        asked = dg.evaluate_automation_conditions(definitions, self.instance)
        job = definitions.resolve_implicit_global_asset_job_def()
        named = set()
        for name in ("model", "vectors", "index", "release"):
            key = dg.AssetKey(name)
            for partition in asked.get_requested_partitions(key):
                named.add(f"{name}[{partition}]" if partition else name)
                job.execute_in_process(
                    instance=self.instance, asset_selection=[key], partition_key=partition, raise_on_error=False
                )
        return named

    def start(self, name: str, partition: str | None) -> dg.DagsterRun:
        """A run that is at work on an asset."""
        job = self.definitions().resolve_implicit_global_asset_job_def()
        return self.instance.create_run_for_job(
            job.get_subset(asset_selection={dg.AssetKey(name)}),
            asset_selection=frozenset([dg.AssetKey(name)]),
            tags={"dagster/partition": partition} if partition else {},
            status=dg.DagsterRunStatus.STARTED,
        )

    def fill(self, name: str, partition: str) -> None:
        """A backfill that has been asked for and has no run yet."""
        graph = self.definitions().resolve_asset_graph()
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id="one",
            asset_graph=graph,
            partition_names=[partition],
            asset_selection=[dg.AssetKey(name)],
            backfill_timestamp=1.0,
            tags={},
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(backfill)

    def settle(self) -> list[set[str]]:
        """Tick until nothing is asked for, twice."""
        waves = []
        while wave := self.tick():
            waves.append(wave)
            assert len(waves) < 20, waves
        assert self.tick() == set()
        return waves


@pytest.fixture
def world() -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


def ran(waves: list[set[str]]) -> set[str]:
    return set().union(*waves)


def test_evaluations_are_not_kept(world: World) -> None:
    """But for the last one, which Dagster itself keeps."""
    for _ in range(4):
        world.tick()
    gc.collect()
    assert len(freshness._LOOKS) <= 1


def test_everything_is_made_once_and_upstream_first(world: World) -> None:
    world.deliver("a", "1")
    world.deliver("b", "1")
    assert world.settle() == [{"model"}, {"vectors[a]", "vectors[b]"}, {"index"}, {"release"}]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w: w.deliver("a", "1"), set()),
        (lambda w: w.deliver("b", "2"), {"vectors[b]"}),
        (lambda w: w.deliver("c", "1"), {"vectors[c]", "index"}),
        (lambda w: w.instance.delete_dynamic_partition("batch", "b"), {"index"}),
        (lambda w: setattr(w, "code", "2"), {"model", "vectors[a]", "vectors[b]", "index", "release"}),
    ],
    ids=["same bytes again", "changed, same vectors", "new batch", "batch removed", "code changed"],
)
def test_a_change_runs_exactly_what_it_must(
    world: World, change: Callable[[World], object], expected: set[str]
) -> None:
    world.deliver("a", "1")
    world.deliver("b", "1")
    world.settle()
    change(world)
    assert ran(world.settle()) == expected


def test_an_unchanged_data_version_stops_the_wave(world: World) -> None:
    world.deliver("a", "1")
    world.settle()
    world.versions["index"] = "i2"
    world.deliver("b", "1")
    assert ran(world.settle()) == {"vectors[b]", "index", "release"}


def test_what_may_not_be_tried_is_not_asked_for_and_holds_back_what_needs_it(world: World) -> None:
    world.failing.add("index")
    world.given_up.add("index")
    world.deliver("a", "1")
    assert ran(world.settle()) == {"model", "vectors[a]"}
    world.given_up.clear()
    assert world.tick() == {"index"}, "it fails"
    world.failing.clear()
    assert ran(world.settle()) == {"index", "release"}


def test_what_waits_for_a_stale_ancestor_is_made_once(world: World) -> None:
    """`release` needs `model` directly and through the index: it waits for the whole chain."""
    world.deliver("a", "1")
    world.settle()
    world.versions |= {"model": "m2", "index": "i2"}
    world.code = "2"
    waves = world.settle()
    assert waves == [{"model"}, {"vectors[a]"}, {"index"}, {"release"}]


@pytest.mark.parametrize(("made", "partition"), [("model", None), ("vectors", "b"), ("index", None)])
def test_what_is_being_made_is_not_asked_for_again_and_holds_back_what_needs_it(
    world: World, made: str, partition: str | None
) -> None:
    """`a` is delivered anew while a run that was asked for before is at work."""
    world.deliver("a", "1")
    world.deliver("b", "1")
    world.settle()
    world.code = "2"
    chain = ["model", "vectors", "index"]
    for wave in chain[: chain.index(made)]:
        assert {name.partition("[")[0] for name in world.tick()} == {wave}
    run = world.start(made, partition)
    expected = {"vectors[a]"} if made == "vectors" else set()
    assert world.tick() == expected
    world.instance.report_run_failed(run)
    assert (f"{made}[{partition}]" if partition else made) in world.tick()


def test_what_a_backfill_is_to_make_is_not_asked_for_again(world: World) -> None:
    world.deliver("a", "1")
    world.deliver("b", "1")
    world.settle()
    world.code = "2"
    assert world.tick() == {"model"}
    world.fill("vectors", "b")
    assert world.tick() == {"vectors[a]"}
