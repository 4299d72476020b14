"""The asset graph as a text: a change of keys, edges, partitions, checks or automation shows in review.

After an intended change: `python tests/architecture/test_graph_snapshot.py` writes the text anew.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from orchestration.definitions import build_definitions
from orchestration.resources import Workspace

SNAPSHOT = Path(__file__).with_name("graph.txt")


def describe(definitions: dg.Definitions) -> str:
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        partitions = getattr(node.partitions_def, "name", None)
        condition = node.automation_condition
        checks = sorted(check.name for check in graph.get_check_keys_for_assets({key}))
        lines.append(f"{key.to_user_string()}  [{node.group_name}]")
        lines.append(f"  from: {', '.join(sorted(p.to_user_string() for p in node.parent_keys)) or '-'}")
        lines.append(f"  partitions: {partitions or '-'}")
        lines.append(f"  checks: {', '.join(checks) or '-'}")
        lines.append(f"  automation: {condition.name if condition else '-'}")
    lines += [f"sensor: {sensor.name}" for sensor in sorted(definitions.sensors or (), key=lambda s: s.name)]
    return "\n".join(lines) + "\n"


def test_the_graph_is_as_it_was_reviewed() -> None:
    assert describe(build_definitions(Workspace(Path()))) == SNAPSHOT.read_text(encoding="utf-8")


def test_every_asset_of_the_design_is_there() -> None:
    keys = {
        key.to_user_string() for key in build_definitions(Workspace(Path())).resolve_asset_graph().get_all_asset_keys()
    }
    assert keys >= {
        *("data_manifest", "catalogue_batches", "street_batches", "catalogue", "photos", "mask_set", "attribute_set"),
        *("look_set", "street2fashion", "masks", "segmented_look_set", "fashion_dna", "article_dna", "studio2shop"),
        *("fashion2shop", "reid_baseline", "retrieval_report", "candidate", "article_vectors", "article_index"),
        "release",
    }


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(build_definitions(Workspace(Path()))), encoding="utf-8")
