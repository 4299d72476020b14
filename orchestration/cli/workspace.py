"""`threadline init`, and the workspace that every other command works in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration import dvc_data
from orchestration.cli.output import console
from orchestration.configuration import CONFIGURATION_FILE, TEMPLATE
from orchestration.places import Places
from orchestration.resources import Workspace, workspace_from_environment
from training.presets import PresetName

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="The workspace; by default THREADLINE_WORKSPACE, or the current directory."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Take at most this many rows.")]


def init(
    directory: Annotated[Path, typer.Argument(help="The directory to make a workspace of; it may exist already.")],
    preset: Annotated[
        PresetName, typer.Option(help="Model sizes and epochs: minutes, real data, or the published ones for GPUs.")
    ] = "workstation",
) -> None:
    """Make a workspace: `threadline.toml`, a DVC repository, and places for incoming and accepted batches."""
    configuration = directory / CONFIGURATION_FILE
    if configuration.exists():
        raise ThreadlineError(f"{directory} is a workspace already", "import into it, or choose another directory")
    places = Places(directory)
    for place in (places.data, places.incoming / "catalogue", places.incoming / "street", places.home):
        place.mkdir(parents=True, exist_ok=True)
    dvc_data.init(directory)
    write_text(directory / ".gitignore", "/.threadline/\n/incoming/\n/data/\n")
    write_text(configuration, TEMPLATE.format(preset=preset))
    console.print(f"A workspace at {directory}. Next:\n  cd {directory}\n  threadline import --help")


def open_workspace(workspace: Path | None) -> Workspace:
    """The workspace that the option or the environment names. Raises ThreadlineError when it is none."""
    found = workspace_from_environment(workspace)
    assert found.configuration
    if found.services.dvc_remote:
        dvc_data.use_remote(found.root, found.services.dvc_remote)
    return found
