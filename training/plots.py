"""Pictures of a training for people."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.fit import SELECTION, Curves

MOST_COLUMNS = 4


def draw_curves(curves: Curves, title: str, folder: Path) -> Path:
    """Draw a panel for each figure, over the epochs, into `folder`/curves.png; its path."""
    shown = {name: values for name, values in curves.items() if name != SELECTION}
    columns = min(MOST_COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, values) in enumerate(shown.items()):
        panel = figure.add_subplot(rows, columns, place + 1)
        panel.plot(range(1, len(values) + 1), values, marker="o", markersize=3)
        panel.set_title(name)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
    figure.suptitle(title)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "curves.png"
    figure.savefig(path, dpi=90)
    return path
