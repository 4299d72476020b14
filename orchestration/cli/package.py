"""`threadline package export` and `threadline package import`: a model package from one registry to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.output import Json, console, print_json
from orchestration.cli.workspace import WorkspaceOption, open_workspace

package = typer.Typer(help="Carry a model package from one registry to another, as one file.", no_args_is_help=True)


@package.command("export")
def export_package(
    named: Annotated[
        str,
        typer.Argument(
            metavar="VERSION|champion",
            help="A version, 'champion', a model such as 'reid_baseline', or the digits of a package.",
            show_default=False,
        ),
    ],
    file: Annotated[Path, typer.Argument(help="The file to write, such as threadline-7.zip.")],
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Write a package as one file: its graphs, what it is made from, and the digests of both."""
    from orchestration.archives import write_archive
    from orchestration.packages import find_package

    written = write_archive(find_package(open_workspace(workspace), named), file)
    if json:
        print_json({"digest": written.digest, "method": written.method, "file": str(file)})
    else:
        console.print(f"{written.method} {written.digest[:12]} is in {file}.")


@package.command("import")
def import_package(
    file: Annotated[Path, typer.Argument(help="A file that `threadline package export` wrote.")],
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Register the package in a file, once every digest is checked. What serves stays what it is."""
    from orchestration.archives import import_archive

    done = import_archive(file, open_workspace(workspace).home)
    if json:
        print_json(
            {
                "digest": done.package.digest,
                "method": done.package.method,
                "version": done.version,
                "serving_version": done.serving_version,
            }
        )
        return
    console.print(f"{done.package.method} {done.package.digest[:12]} is version {done.version}.")
    if done.serving_version:
        console.print(f"Next, to let it serve: threadline rollback {done.serving_version}, threadline materialize")
