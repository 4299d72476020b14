"""`threadline backup` and `threadline restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.output import Json, console, print_json
from orchestration.cli.workspace import WorkspaceOption, open_workspace

if TYPE_CHECKING:
    from orchestration.backup import Backup


def backup(
    target: Annotated[
        Path, typer.Argument(help="The file to write, or the directory for a file that is named by the time.")
    ],
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Write the workspace to one file: data and its versions, decisions, models, index. The service may go on."""
    from orchestration.backup import write_backup

    path, written = write_backup(open_workspace(workspace), target)
    if json:
        print_json({"file": str(path), **_figures(written)})
        return
    console.print(f"{len(written.files):,} files, {written.bytes / 2**20:,.0f} MiB, are in {path}.")
    for kept in written.elsewhere:
        console.print(f"Not in it, back it up by its own means: {kept}")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `threadline backup` wrote.")],
    directory: Annotated[Path, typer.Argument(help="The workspace to make; not there yet, or empty.")],
    json: Json = False,
) -> None:
    """Make the workspace of a backup again, in another place or the same; every byte is checked."""
    from orchestration.backup import restore_backup

    restored = restore_backup(file, directory)
    if json:
        print_json({"directory": str(directory), **_figures(restored)})
        return
    console.print(f"{directory} is as it was on {restored.made}. Next:")
    console.print(f"  threadline doctor --workspace {directory}")


def _figures(one: Backup) -> dict[str, Any]:
    return {
        **one.model_dump(include={"made", "data_version", "elsewhere"}),
        "files": len(one.files),
        "bytes": one.bytes,
    }
