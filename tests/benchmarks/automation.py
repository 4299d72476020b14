"""What the automation costs on many batches: a tick with nothing changed, and the runs that a new model starts.

    python -m tests.benchmarks.automation --batches 1000 --articles 1000

The workspace is made of records only: what counts here is how many batches and articles Dagster and the manifest
know of, not their pictures. Nothing is trained and nothing is computed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import yaml
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from contracts.files import digest_of, write_text
from orchestration import dvc_data
from orchestration.asset import CATALOGUE_BATCH, PARTITIONS_A_RUN
from orchestration.definitions import build_definitions
from orchestration.execution import grouped, open_instance, out_of_date
from orchestration.freshness import Lineage
from orchestration.observation import observe, record
from orchestration.resources import Workspace

BUDGET_TICK_S = 5.0
BUDGET_RUNS = 25


def make_workspace(root: Path, batches: int, articles: int) -> Workspace:
    """A workspace whose manifest names so many catalogue batches of so many pictures each."""
    dvc_data.init(root)
    write_text(root / "threadline.toml", 'preset = "demo"\n')
    files = [
        {"md5": digest_of([batch, number])[:32], "relpath": f"catalogue/b{batch:04d}/images/{number:06d}.jpg"}
        for batch in range(batches)
        for number in range(articles)
    ]
    md5 = digest_of([batches, articles])[:32] + ".dir"
    place = root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    write_text(place, json.dumps(files))
    write_text(root / "data.dvc", yaml.safe_dump({"outs": [{"md5": md5, "hash": "md5", "path": "data"}]}))
    return Workspace(root)


def pretend_made(instance: dg.DagsterInstance, graph: dg.AssetGraph, versions: dict[str, str]) -> None:
    """Record every asset as made from what there is, with these data versions."""
    for key in graph.toposorted_asset_keys:
        if graph.get(key).is_materializable:
            lineage = Lineage(instance, graph)
            for partition in lineage.partitions(key):
                name = key.to_user_string()
                tags = {DATA_VERSION_TAG: versions.get(name, f"{name} {partition}"), **lineage.tags(key, partition)}
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, tags=tags))


def tick(workspace: Workspace, instance: dg.DagsterInstance, definitions: dg.Definitions) -> tuple[float, float]:
    """Wall and CPU seconds of looking at the manifest and evaluating every condition; nothing may be asked for."""
    started, used = time.perf_counter(), time.process_time()
    assert not observe(workspace, instance, definitions.resolve_asset_graph())
    asked = dg.evaluate_automation_conditions(definitions, instance)
    assert asked.total_requested == 0
    return time.perf_counter() - started, time.process_time() - used


def runs_for_a_new_model(instance: dg.DagsterInstance, graph: dg.AssetGraph) -> int:
    """The runs from a trained package that wins, to its release: waves of what is out of date, grouped."""
    pretended = dg.AssetMaterialization("reid_baseline", tags={DATA_VERSION_TAG: "new", **_tags(instance, graph)})
    instance.report_runless_asset_event(pretended)
    count = 1  # its training
    generation = 0
    while wave := out_of_date(instance, graph):
        lineage = Lineage(instance, graph)
        for key, partitions in grouped(wave, lineage):
            count += 1
            for partition in partitions:
                tags = {DATA_VERSION_TAG: f"new {key} {partition} {generation}"[:60], **lineage.tags(key, partition)}
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, tags=tags))
        generation += 1
    return count


def _tags(instance: dg.DagsterInstance, graph: dg.AssetGraph) -> dict[str, str]:
    return Lineage(instance, graph).tags(dg.AssetKey("reid_baseline"))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print JSON, and fail when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--articles", type=int, default=1000, help="articles a batch")
    parser.add_argument("--ticks", type=int, default=5)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="threadline-bench-") as folder:
        workspace = make_workspace(Path(folder), given.batches, given.articles)
        definitions = build_definitions(workspace)
        graph = definitions.resolve_asset_graph()
        with open_instance(workspace.home) as instance:
            record(observe(workspace, instance, graph), instance)
            assert len(CATALOGUE_BATCH.get_partition_keys(dynamic_partitions_store=instance)) == given.batches
            pretend_made(instance, graph, {})
            ticks = [tick(workspace, instance, definitions) for _ in range(given.ticks)]
            runs = runs_for_a_new_model(instance, graph)
    figures = {
        "batches": given.batches,
        "articles a batch": given.articles,
        "tick, median wall (s)": round(median(wall for wall, _ in ticks), 2),
        "tick, median CPU (s)": round(median(cpu for _, cpu in ticks), 2),
        "runs of a new model": runs,
        "partitions a run": PARTITIONS_A_RUN,
    }
    print(json.dumps(figures, indent=2))
    assert figures["tick, median wall (s)"] <= BUDGET_TICK_S, "a tick takes too long"
    assert runs <= BUDGET_RUNS * max(1, given.batches / 1000), "too many runs"
    return figures


if __name__ == "__main__":
    main()
