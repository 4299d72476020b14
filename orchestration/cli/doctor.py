"""`threadline doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.text import Text

from orchestration.cli.output import Json, console, print_json
from orchestration.cli.workspace import WorkspaceOption
from orchestration.resources import workspace_from_environment

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(workspace: WorkspaceOption = None, json: Json = False) -> None:
    """Check this machine, the workspace and each service behind it, and say what to do. Exit code 3 when one fails."""
    from orchestration.doctor import examine

    found = examine(workspace_from_environment(workspace))
    if json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            console.print(Text.assemble((f"{one.state:<8}", _STYLES[one.state]), f"{one.name:<26} {one.what}"))
            if one.remedy:
                console.print(Text(f"{'':<8}{'':<26} What to do: {one.remedy}"))
    if any(one.state == "failed" for one in found):
        raise typer.Exit(3)
