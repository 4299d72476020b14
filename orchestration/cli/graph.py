"""`threadline materialize`, `threadline plan` and `threadline status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from orchestration.cli.output import Json, console, errors, print_json, print_table
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.progress import TerminalReporter
from orchestration.resources import Workspace

if TYPE_CHECKING:
    from orchestration.execution import Materialised, Ran
    from orchestration.status import Status


def materialize(
    workspace: WorkspaceOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed before, and what depends on it.")] = False,
    json: Json = False,
) -> None:
    """Bring everything that is out of date up to date: train, embed, index, release. Nothing where nothing changed.

    It can be interrupted at any time; the same command goes on where it was. Exit code 3 when something failed.
    """
    opened = open_workspace(workspace)
    done = bring_up_to_date(opened, quiet=json, only_failed=failed)
    if json:
        print_json({"ran": [vars(one) for one in done.ran], "failed": len(done.failed)})
    elif any(one.asset == "retrieval_report" and not one.error for one in done.ran):
        _show_report(opened)
    if done.failed:
        raise typer.Exit(3)


def bring_up_to_date(workspace: Workspace, *, quiet: bool = False, only_failed: bool = False) -> Materialised:
    """Materialise what is out of date, showing progress unless `quiet`, and say what was done."""
    from orchestration.execution import materialize as run_graph

    started = time.monotonic()
    if quiet:
        return run_graph(workspace, only_failed=only_failed)
    try:
        with TerminalReporter(console) as reporter:
            done = run_graph(workspace, reporter, _announce, only_failed=only_failed)
    except KeyboardInterrupt as interrupt:
        console.print("Stopped. The same command goes on where it was.")
        raise typer.Exit(130) from interrupt
    if not done.ran:
        console.print("Everything is up to date: nothing to do.")
    else:
        made = len(done.ran) - len(done.failed)
        console.print(f"Made {made} of {len(done.ran)} in {time.monotonic() - started:.0f} s.")
    return done


def plan(workspace: WorkspaceOption = None, json: Json = False) -> None:
    """What `threadline materialize` would run now, and why. Nothing is run."""
    from orchestration.planning import plan as look_ahead

    planned = look_ahead(open_workspace(workspace))
    if json:
        print_json([vars(one) for one in planned])
    elif not planned:
        console.print("Everything is up to date: nothing would run.")
    else:
        rows = [
            [_label(one.asset, one.partition), "yes" if one.certain else "maybe", "; ".join(one.reasons)]
            for one in planned
        ]
        print_table("What would run", ["asset", "certain", "why"], rows)


def status(workspace: WorkspaceOption = None, json: Json = False) -> None:
    """What serves, which models there are, the data version, what is out of date, and what failed."""
    from orchestration.status import read_status

    found = read_status(open_workspace(workspace))
    if json:
        print_json(found.as_json())
    else:
        _show(found)


def _show_report(workspace: Workspace) -> None:
    from orchestration.cli.accuracy import show_accuracy
    from orchestration.report import read_report

    show_accuracy(read_report(workspace.home))
    console.print(f"More, with pictures: {workspace.home.report / 'report.md'}")


def _announce(ran: Ran) -> None:
    if ran.error:
        _tell_failed(ran.label, ran.error)
    else:
        console.print(f"  {ran.label:<34} {ran.seconds:7.1f} s {ran.peak_mib:7,} MiB", style="dim")


def _tell_failed(label: str, reason: str) -> None:
    errors.print(Text.assemble(("failed", "red"), f" {label}: {reason}"))


def _label(asset: str, partition: str | None) -> str:
    return f"{asset} [{partition}]" if partition else asset


def _show(found: Status) -> None:
    release: Any = found.release
    if release is None:
        console.print("No release yet.")
    else:
        console.print(f"Serving: version {release.version} ({release.method}), collection {release.collection}")
    if found.pin is not None:
        console.print(
            f"Pinned: version {found.pin.version}, by {found.pin.who} on {found.pin.when}: {found.pin.reason}"
        )
    if found.proposed is not None:
        console.print(f"Waits for `threadline approve`: {found.proposed.method} {found.proposed.reason}")
    console.print(f"Data version: {found.data_version or 'none'}   preset: {found.preset}")
    rows = [[name, outcome.digest[:12] if outcome.digest else "none", outcome.reason] for name, outcome in found.models]
    print_table("Models", ["model", "package", "note"], rows)
    console.print(f"Out of date: {', '.join(_label(*one) for one in found.out_of_date) or 'nothing'}")
    console.print(f"Waiting for those: {', '.join(_label(*one) for one in found.waiting) or 'nothing'}")
    for asset, reason in found.failed:
        _tell_failed(asset, reason)
