"""`threadline reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import Json, console, print_json, print_table
from orchestration.cli.releases import Version
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.progress import TerminalReporter


def reproduce(
    version: Version,
    into: Annotated[Path, typer.Option("--into", help="The new directory that becomes a workspace for it.")],
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Restore the data that a release was trained from into another workspace, train it again, and compare."""
    from orchestration.reproducing import reproduce as train_again

    found = open_workspace(workspace)
    if json:
        print_json(vars(train_again(found, version, into.resolve())))
        return
    with TerminalReporter(console) as reporter:
        result = train_again(found, version, into.resolve(), reporter)
    rows = [
        [name, "" if was is None else f"{was:.4f}", "" if now is None else f"{now:.4f}"]
        for name, (was, now) in result.metrics.items()
    ]
    print_table(f"{result.method}, release {version}", ["metric", "then", "now"], rows)
    console.print("It is the same package, byte for byte." if result.identical else "It is another package.")
    for difference in result.differences:
        console.print(f"  {difference}")
