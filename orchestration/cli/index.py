"""`threadline index`."""

from __future__ import annotations

import time

import typer

from orchestration.cli.output import Json, console, errors, print_json
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.progress import TerminalReporter

index = typer.Typer(help="The index of the articles that a photo is searched in.", no_args_is_help=True)


@index.callback()
def _group() -> None:
    """Keeps `rebuild` a command of its own: with one command alone typer would leave its name out."""


@index.command("rebuild")
def rebuild(workspace: WorkspaceOption = None, json: Json = False) -> None:
    """Build the collection that serves again, from the vectors that are kept, after it was lost or damaged."""
    from orchestration.rebuilding import rebuild_index

    found, started = open_workspace(workspace), time.monotonic()
    with TerminalReporter(errors if json else console) as reporter:
        release, made = rebuild_index(found, reporter)
    if json:
        print_json({"version": release.version, "collection": made.reference, "articles": made.count})
        return
    seconds = time.monotonic() - started
    console.print(f"Version {release.version} serves {made.count:,} articles from {made.reference} ({seconds:.0f} s).")
