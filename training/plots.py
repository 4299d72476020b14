"""Pictures of a training for people."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.fit import SELECTION, Curves

MOST_COLUMNS = 4


def draw_curves(curves: Curves, title: str, folder: Path) -> Path:
    """Draw `curves` over the epochs into `folder`/curves.png, what belongs together in one panel; its path."""
    panels: dict[str, dict[str, list[float]]] = {}
    for name, values in curves.items():
        if name != SELECTION:
            panels.setdefault(_panel_of(name), {})[name] = values
    columns = min(MOST_COLUMNS, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    width, height = 4 * columns, 3.2 * rows
    figure = Figure(figsize=(width, height))
    # Inches at the rim and between panels: finding out what is free takes longer than drawing.
    figure.subplots_adjust(0.6 / width, 0.6 / height, 1 - 0.2 / width, 1 - 0.8 / height, wspace=0.25, hspace=0.45)
    FigureCanvasAgg(figure)
    for place, (name, shown) in enumerate(panels.items()):
        panel = figure.add_subplot(rows, columns, place + 1)
        for curve, values in shown.items():
            label = curve.removeprefix(name).lstrip("/_") or curve
            panel.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=label)
        panel.set_title(name)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        if len(shown) > 1:
            panel.legend(fontsize=7, loc="best" if len(shown) < MOST_COLUMNS else "lower right")
    figure.suptitle(title)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "curves.png"
    figure.savefig(path, dpi=90)
    return path


def _panel_of(curve: str) -> str:
    """All losses share a panel, and so do figures that differ in their last part: val/acc_1 and val/acc_5."""
    return "train" if curve.startswith("train/") else curve.rpartition("_")[0] or curve
