"""Plots for people who would rather look than read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.files import replacing
from orchestration.evaluation import Evaluation


def plot_accuracy(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Acc@k of each package on the test split, as a PNG; nothing is written when nothing was measured."""
    from matplotlib.figure import Figure

    measured = [evaluation for evaluation in evaluations if "test" in evaluation.scores]
    if not measured:
        return
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for evaluation in measured:
        acc = evaluation.scores["test"].acc
        axes.plot([str(k) for k in acc], [100 * share for share in acc.values()], marker="o", label=evaluation.method)
    score = measured[0].scores["test"]
    axes.set(xlabel="k", ylabel="Acc@k, %", ylim=(0, 100))
    axes.set_title(f"Test split: {score.queries} queries, {score.gallery} articles")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
