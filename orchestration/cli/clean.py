"""`threadline clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.output import Json, console, print_json
from orchestration.cli.workspace import WorkspaceOption, open_workspace


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Remove features, masks, report's sheets and checkpoints that only superseded models needed.

    Nothing that was delivered, decided, trained or released, and nothing that a rollback to a kept collection needs.
    """
    from orchestration.cleaning import clean as remove

    found = open_workspace(workspace)
    leftovers = remove(found, dry_run=dry_run)
    if json:
        print_json({"removed": not dry_run, "found": [vars(one) for one in leftovers]})
        return
    for one in leftovers:
        console.print(f"  {one.bytes / 2**20:8,.1f} MiB  {one.path.relative_to(found.home.root)}")
    total = sum(one.bytes for one in leftovers) / 2**20
    console.print(f"{'Would remove' if dry_run else 'Removed'} {len(leftovers)} directories, {total:,.1f} MiB.")
