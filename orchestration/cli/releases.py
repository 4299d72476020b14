"""`threadline releases`, `rollback`, `unpin` and `approve`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from orchestration.cli.output import Json, console, print_json, print_table
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.person import you
from orchestration.resources import Workspace

Version = Annotated[str, typer.Argument(help="A version of the serving model, as `threadline releases` lists it.")]
Who = Annotated[str, typer.Option("--who", help="Who decides.", show_default="you")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks later.")]

_NEXT = "Next: threadline materialize   (with `threadline up` running it happens by itself)"

releases = typer.Typer(
    help="The versions of the serving model, newest first, and which of them serves.", invoke_without_command=True
)


@releases.callback()
def list_releases(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Show at most this many.")] = 20,
    json: Json = False,
) -> None:
    """The versions of the serving model, newest first, and which of them serves."""
    if context.invoked_subcommand is not None:
        return
    rows = _rows(open_workspace(workspace), most)
    if json:
        print_json(rows)
    elif not rows:
        console.print("There is no release yet: run `threadline materialize`.")
    else:
        print_table(
            "Releases", list(rows[0]), [["yes" if v is True else v or "" for v in row.values()] for row in rows]
        )


@releases.command("show")
def show(version: Version, workspace: WorkspaceOption = None, json: Json = False) -> None:
    """All that is known of a release: package, data, code, configuration, accuracy."""
    from orchestration.release_changes import describe_release

    found = describe_release(open_workspace(workspace), version)
    if json:
        print_json(found)
    else:
        print_table(f"Release {version}", ["", ""], [[key, value] for key, value in found.items()])


@releases.command("diff")
def diff(before: Version, after: Version, workspace: WorkspaceOption = None, json: Json = False) -> None:
    """What changed between two releases."""
    from orchestration.release_changes import release_changes

    changes = release_changes(open_workspace(workspace), before, after)
    if json:
        print_json(changes.as_json())
        return
    rows = [
        [part, name, "" if was is None else was, "" if now is None else now]
        for part in ("identity", "configuration", "metrics")
        for name, (was, now) in getattr(changes, part).items()
    ]
    for kind, names in (changes.batches or {}).items():
        rows += [["batches", kind, "", name] for name in names]
    if changes.batches is None:
        console.print("The data of one of them is not here: `dvc fetch` brings the batches' difference.")
    print_table(f"From release {before} to release {after}", ["", "what", "before", "after"], rows)


def rollback(version: Version, reason: Reason = "", who: Who = "", workspace: WorkspaceOption = None) -> None:
    """Let an earlier version serve until `threadline unpin`, whatever is trained meanwhile."""
    from orchestration.releasing import pin_release

    pin = pin_release(open_workspace(workspace), version, who or you(), reason)
    console.print(f"Version {pin.version} ({pin.method}) is pinned. {_NEXT}")


def unpin(workspace: WorkspaceOption = None) -> None:
    """End a rollback: the best package by the measurements serves again."""
    from orchestration.decisions import remove_pin

    pin = remove_pin(open_workspace(workspace).home)
    console.print(f"Version {pin.version} is pinned no more. {_NEXT}")


def approve(reason: Reason = "", who: Who = "", workspace: WorkspaceOption = None) -> None:
    """Let the package that waits for an approval serve."""
    from orchestration.releasing import approve_proposal

    approved = approve_proposal(open_workspace(workspace), who or you(), reason)
    console.print(f"{approved.method} ({approved.reason}) is approved. {_NEXT}")


def _rows(workspace: Workspace, most: int) -> list[dict[str, Any]]:
    from orchestration.decisions import read_pin

    champion, pin = workspace.registry.champion(), read_pin(workspace.home)
    return [
        {
            "version": version.version,
            "serves": champion is not None and version.version == champion.version,
            "pinned": pin is not None and version.version == pin.version,
            "method": version.method,
            "package": version.digest[:12],
            "collection": version.tags.get("collection", ""),
            "data version": version.tags.get("data_version", "")[:12],
            "made": datetime.fromtimestamp(version.created_s, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        }
        for version in workspace.registry.versions()[:most]
    ]
