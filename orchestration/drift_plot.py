"""A period's queries beside held-out photos, as a picture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contracts.files import replacing
from orchestration.drift import Compared, Drift

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUERIES, _PHOTOS = "tab:orange", "tab:blue"
_CATEGORIES = 12


def plot_drift(path: Path, drift: Drift) -> bool:
    """Draw what was compared as a PNG at `path`; False, and nothing is written, when nothing was."""
    from matplotlib.figure import Figure

    named = (("The closest article", drift.best), ("The most alike held-out photo", drift.near))
    compared = [(title, each) for title, each in named if each is not None]
    panels = len(compared) + bool(drift.categories)
    if not panels:
        return False
    figure = Figure(figsize=(5.8, 2.6 * panels), layout="constrained")  # as wide as Dagster's pages show it
    axes = list(np.ravel(figure.subplots(panels, 1)))
    for axis, (title, each) in zip(axes, compared, strict=False):
        _draw_two(axis, title, each)
    if drift.categories:
        _draw_categories(axes[-1], drift)
    since, until = (f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}" for at_s in (drift.since_s, drift.until_s))
    figure.suptitle(f"{drift.searches} searches from {since} to {until}, release {drift.release}", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return True


def _draw_two(axis: Axes, title: str, each: Compared) -> None:
    edges = np.histogram_bin_edges(np.concatenate([each.queries, each.photos]), bins=24)
    for values, colour, label in ((each.photos, _PHOTOS, "held-out photos"), (each.queries, _QUERIES, "queries")):
        share = np.full(len(values), 100 / len(values))
        axis.hist(values, edges.tolist(), weights=share, color=colour, alpha=0.5, label=f"{label} ({len(values)})")
    axis.set_title(f"{title} (queries and photos alike: p = {each.p:.2g})", fontsize=9)
    axis.set(xlabel="cosine", ylabel="share, %")
    axis.legend(frameon=False, fontsize=8)


def _draw_categories(axis: Axes, drift: Drift) -> None:
    shown = dict(list(drift.categories.items())[:_CATEGORIES])
    places = np.arange(len(shown))
    for shift, side, colour in ((-0.2, 1, _PHOTOS), (0.2, 0, _QUERIES)):
        axis.barh(places + shift, [100 * both[side] for both in shown.values()], 0.4, color=colour, alpha=0.5)
    axis.set_yticks(places, list(shown), fontsize=8)
    axis.invert_yaxis()
    axis.set_title("Categories of what was found", fontsize=9)
    axis.set(xlabel="share of the articles, %")
