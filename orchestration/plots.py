"""Plots for people who would rather look than read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.files import replacing
from orchestration.evaluation import Evaluation


def plot_accuracy(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Acc@k of each package on the test split with its intervals, as a PNG; nothing is written without figures."""
    from matplotlib.figure import Figure

    measured = [evaluation for evaluation in evaluations if "test" in evaluation.scores]
    if not measured:
        return
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for evaluation in measured:
        score = evaluation.scores["test"]
        places, shares = list(range(len(score.acc))), [100 * share for share in score.acc.values()]
        (line,) = axes.plot(places, shares, marker="o", label=evaluation.method)
        around = [score.intervals.get(f"acc_{k}", (share, share)) for k, share in score.acc.items()]
        low, high = ([100 * ends[side] for ends in around] for side in (0, 1))
        axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    score = measured[0].scores["test"]
    axes.set_xticks(range(len(score.acc)), [str(k) for k in score.acc])
    axes.set(xlabel="k", ylabel="Acc@k, %", ylim=(0, 100))
    axes.set_title(f"Test split: {score.queries} queries, {score.gallery} articles")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
