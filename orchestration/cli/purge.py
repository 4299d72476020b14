"""`threadline purge`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from orchestration.cli.output import Json, console, print_json
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.person import you


def purge(
    key: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of the photo or article; street/ID or catalogue/ID where both have it."
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")],
    who: Annotated[str, typer.Option("--who", help="Who decides, for the record.", show_default="you")] = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Erase a photo or article with its pictures, everywhere, and say which models saw it. It cannot be undone."""
    from orchestration.purging import purge as erase

    done = erase(open_workspace(workspace), key, who or you(), reason)
    if json:
        print_json(asdict(done))
        return
    console.print(f"{done.kind}/{done.key}: erased {len(done.sha256)} files of {', '.join(done.batches)}")
    for copy in done.copies:
        console.print(f"  and a copy: {copy}")
    for model in done.models:
        console.print(f"  seen by: {model}")
    for place in done.unreached:
        console.print(f"  not reached: {place}")
    console.print("Next: threadline materialize (trains again without it, and takes it out of the index)")
