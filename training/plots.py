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
    width, height = 4 * columns, 3.2 * rows
    figure = Figure(figsize=(width, height))
    # Inches at the rim and between panels: finding out what is free takes longer than drawing.
    figure.subplots_adjust(0.6 / width, 0.6 / height, 1 - 0.2 / width, 1 - 0.8 / height, wspace=0.25, hspace=0.45)
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
