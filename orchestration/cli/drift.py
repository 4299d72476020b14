"""`threadline drift`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import Json, console, errors, print_json, print_table
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.progress import TerminalReporter


def drift(
    days: Annotated[int, typer.Option(min=1, help="How many days back from now.")] = 7,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, as a PNG.")] = None,
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Whether the latest searches are like the photos that the models learnt from."""
    from orchestration.drift import measure_drift
    from orchestration.drift_plot import plot_drift

    with TerminalReporter(errors) as reporter:
        found = measure_drift(open_workspace(workspace), time.time(), days, reporter)
    drawn = plot is not None and plot_drift(plot, found)
    if json:
        print_json({**found.figures(), "categories": found.categories})
    elif not found.searches:
        console.print(f"No search was logged in the last {days} days.")
    else:
        print_table(f"The last {days} days", ["figure", "value"], [[*each] for each in found.figures().items()])
    if plot is not None and not json:
        console.print(f"Drawn: {plot}" if drawn else "There is too little to draw.")
