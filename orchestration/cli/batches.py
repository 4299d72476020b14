"""`threadline batches`: the steward's door on the command line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from contracts.batches import KINDS, Kind
from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration.cli.output import Json, console, errors, print_json, print_table
from orchestration.cli.workspace import WorkspaceOption, open_workspace
from orchestration.expectations.verdict import Verdict
from orchestration.person import you
from orchestration.progress import TerminalReporter

batches = typer.Typer(help="Look at batches, and accept, release or reject what was delivered.", no_args_is_help=True)

Batch = Annotated[str, typer.Argument(metavar="KIND/BATCH", help="Such as catalogue/spring or street/may.")]
Who = Annotated[str, typer.Option("--who", help="Who decides, for the record.", show_default="you")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@batches.command("list")
def list_all(workspace: WorkspaceOption = None, json: Json = False) -> None:
    """Every batch: where it stands, what is still set aside, and who decided what."""
    from orchestration.stewardship import BatchAccount, list_batches, misplaced

    def cells(one: BatchAccount) -> tuple[object, ...]:
        row = one.ledger
        decided = (row.who, row.when, row.reason) if row else ("", "", "")
        return (f"{one.kind}/{one.batch}", one.state, len(one.set_aside), *decided)

    places = open_workspace(workspace).places
    found = list_batches(places)
    for path, remedy in misplaced(places):
        errors.print(f"{path} is judged by nobody: {remedy}")
    if json:
        print_json([asdict(one) for one in found])
    elif found:
        print_table("Batches", ("batch", "state", "set aside", "who", "when", "reason"), [cells(one) for one in found])
    else:
        console.print("There are no batches. Next: threadline import --help")


@batches.command("show")
def show(
    batch: Batch,
    corrections: Annotated[
        Path | None, typer.Option("--csv", help="Write what to correct to this CSV file, for whoever delivered it.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """The rows of a batch that have a problem, with the reasons, and where the report lies."""
    from orchestration import stewardship

    found = stewardship.show_batch(open_workspace(workspace).places, *_parsed(batch))
    if corrections is not None:
        if found.verdict is None:
            raise ThreadlineError(f"there is no verdict on {batch} yet", f"run: threadline batches accept {batch}")
        write_text(corrections, stewardship.corrections(found.verdict))
    if json:
        print_json(asdict(found))
        return
    console.print(f"{batch}: {found.state}")
    if found.verdict is not None:
        _print(found.verdict)
    if found.contact_sheet:
        console.print(f"  contact sheet: {found.contact_sheet}")
    if found.set_aside:
        console.print(f"  still set aside: {', '.join(found.set_aside)}")


@batches.command("accept")
def accept_batch(
    batch: Batch, reason: Reason = "", who: Who = "", workspace: WorkspaceOption = None, json: Json = False
) -> None:
    """Accept a delivered batch. With a reason, whatever the share of rows that fail: they are set aside.

    Exit code 2 on a rejection.
    """
    from orchestration.stewardship import accept_delivered

    places = open_workspace(workspace).places
    with TerminalReporter(console) as reporter:
        verdict = accept_delivered(places, *_parsed(batch), who or you(), reason, reporter)
    _tell(verdict, json)
    if not verdict.accepted:
        raise typer.Exit(2)


@batches.command("release-rows")
def release(
    batch: Batch,
    reason: Reason,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this row; may be given several times. By default, all.")
    ] = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Accept rows that were set aside after all, as a later batch."""
    from orchestration.stewardship import release_rows

    places = open_workspace(workspace).places
    with TerminalReporter(console) as reporter:
        verdict = release_rows(places, *_parsed(batch), who or you(), reason, ids or (), reporter)
    _tell(verdict, json)


@batches.command("reject")
def reject(batch: Batch, reason: Reason, who: Who = "", workspace: WorkspaceOption = None, json: Json = False) -> None:
    """Turn a delivered batch away: it leaves `incoming/` and is kept with the decision."""
    from orchestration.stewardship import turn_away

    kept = turn_away(open_workspace(workspace).places, *_parsed(batch), who or you(), reason)
    if json:
        print_json({"batch": batch, "kept": str(kept)})
    else:
        console.print(f"{batch} was turned away; it is kept at {kept}")


@batches.command("page")
def page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8001,
    workspace: WorkspaceOption = None,
) -> None:
    """The same in a browser on this machine, with the pictures, until Ctrl-C."""
    from orchestration.steward_page.server import listen, serve

    places = open_workspace(workspace).places
    with listen(port) as listening:
        host, bound = listening.getsockname()
        console.print(f"The steward's page: http://{host}:{bound}/   (Ctrl-C stops it)")
        serve(places, listening)


def _parsed(batch: str) -> tuple[Kind, str]:
    kind, _, name = batch.partition("/")
    for known in KINDS:
        if kind == known and name:
            return known, name
    raise ThreadlineError(f"'{batch}' names no batch", f"give its kind and name: {' or '.join(get_args(Kind))}/NAME")


def _tell(verdict: Verdict, json: bool) -> None:
    if json:
        print_json(asdict(verdict))
    else:
        _print(verdict)


def _print(verdict: Verdict) -> None:
    told: list[Any] = verdict.lines(most=len(verdict.rows))
    console.print("\n".join(told))
    if verdict.report:
        console.print(f"  report: {verdict.report}")
