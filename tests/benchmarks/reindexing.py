"""What a change of 1 % of the articles costs, beside embedding and indexing everything.

    python -m tests.benchmarks.reindexing --articles 20000

Packshots of the rendered wardrobe, mirrored and recoloured to the number asked for; the untrained package; the real
graph from the delivery to the release. Wall and CPU seconds of both, whose ratio may be at most 2 % plus 15 s.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from contracts.batches import Article, write_catalogue_batch
from contracts.files import sha256_of_bytes, write_text
from contracts.images import encode_jpeg
from orchestration import dvc_data
from orchestration.execution import materialize
from orchestration.intake import accept
from orchestration.resources import Workspace
from orchestration.sources.wardrobe import make_garment, render_packshot

BUDGET_SHARE = 0.02
BUDGET_FIXED_S = 15.0
PACKSHOT = (256, 192)
FEW = 4
"""Too few to learn from: the untrained package serves, and no training is measured."""

CONFIGURATION = 'preset = "demo"\n\n[retraining]\nschedule = "0 0 1 1 *"\n'
"""New members wait for the new year: still no training."""

RENDERED = 200
"""Garments that are rendered; the others are these in other colours."""


def deliver(workspace: Workspace, batch: str, first: int, count: int) -> None:
    """Deliver and accept articles `first`, `first + 1`, …"""
    root = workspace.places.delivered("catalogue", batch)
    (root / "images").mkdir(parents=True)
    articles = []
    for number in range(first, first + count):
        garment = make_garment(0, number % RENDERED)
        picture = render_packshot(garment, 0, 0, PACKSHOT)
        shift = np.array([number // RENDERED * 37 % 256, number // RENDERED * 91 % 256, number % 251], np.uint8)
        data = encode_jpeg(np.where(picture < 250, picture + shift, picture).astype(np.uint8))
        image = f"images/{number}.jpg"
        (root / image).write_bytes(data)
        row = Article(
            f"a{number}", name="", category=garment.category, images=(image,), sha256=(sha256_of_bytes(data),)
        )
        articles.append(row)
    write_catalogue_batch(root, articles)
    verdict = accept(workspace.places, "catalogue", batch, "the benchmark")
    assert verdict.accepted, verdict.rows[:3]


def timed(workspace: Workspace) -> dict[str, Any]:
    """Wall and CPU seconds of bringing everything up to date."""
    wall, cpu = time.perf_counter(), os.times()
    done = materialize(workspace)
    after = os.times()
    assert not done.failed, done.failed
    used = (after.user + after.system) - (cpu.user + cpu.system)
    return {"wall_s": round(time.perf_counter() - wall, 1), "cpu_s": round(used, 1), "runs": len(done.ran)}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print JSON, and fail when the budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=20_000)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="threadline-bench-") as folder:
        workspace = Workspace(Path(folder))
        dvc_data.init(workspace.root)
        write_text(workspace.root / "threadline.toml", CONFIGURATION)
        changed = max(1, given.articles // 100)
        deliver(workspace, "few", 0, FEW)
        timed(workspace)
        deliver(workspace, "all", FEW, given.articles)
        full = timed(workspace)
        deliver(workspace, "changed", FEW + given.articles, changed)
        change = timed(workspace)
    figures = {"articles": given.articles, "changed": changed, "full": full, "change": change}
    print(json.dumps(figures, indent=2))
    for unit in ("wall_s", "cpu_s"):
        assert change[unit] <= BUDGET_SHARE * full[unit] + BUDGET_FIXED_S, f"{unit}: too much for a change of 1 %"
    return figures


if __name__ == "__main__":
    main()
