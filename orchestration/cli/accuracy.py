"""The accuracy of every package, as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.cli.output import print_table
from orchestration.evaluation import Evaluation


def show_accuracy(evaluations: Sequence[Evaluation]) -> None:
    """Print how much each package finds on the test photos; nothing where there are none."""
    rows = []
    for evaluation in evaluations:
        if (score := evaluation.scores.get("test")) is None:
            continue
        shares = [f"{100 * score.acc[k]:.1f} %" for k in (1, 10, 20, 50)]
        rows.append([evaluation.method, score.queries, score.gallery, *shares, f"{score.mean_ap:.3f}"])
    if rows:
        columns = ["package", "queries", "gallery", "Acc@1", "Acc@10", "Acc@20", "Acc@50", "mAP"]
        print_table("\nTest photos of garments that no training saw", columns, rows)
