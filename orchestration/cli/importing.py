"""`threadline import`: one command a source, each into a batch that is validated and accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.batches import Kind, check_batch_name
from contracts.errors import ThreadlineError
from orchestration.cli.output import Json, console, errors, print_json
from orchestration.cli.workspace import Limit, WorkspaceOption, open_workspace
from orchestration.expectations.verdict import Verdict
from orchestration.known_imports import find_import, keep_import, key_of
from orchestration.person import you
from orchestration.progress import Reporter, TerminalReporter
from orchestration.sources.folder import deliver_folder
from orchestration.sources.folder_photos import deliver_folder_photos
from orchestration.sources.product_feed import deliver_product_feed
from orchestration.sources.published import PUBLISHED, Published
from orchestration.sources.report import ImportReport

Directory = Annotated[Path, typer.Argument(help="The directory; what it holds is said above.", metavar="PATH")]
Batch = Annotated[
    str | None, typer.Option("--batch", help="The batch's name; by default the source's name and the limit.")
]
Who = Annotated[str, typer.Option("--who", help="Who accepts the batch, for the ledger.", show_default="you")]

sources = typer.Typer(help="Import a folder of pictures as a batch, validate it, and accept it.", no_args_is_help=True)


@dataclass(frozen=True)
class Import:
    """One import: how it is delivered, and all that its outcome depends on.

    `name` names the batch where nobody does; `read` are the directories and files that it reads, `options` the values
    beyond them that shape it.
    """

    source: str
    name: str
    kinds: tuple[Kind, ...]
    deliver: Callable[[dict[Kind, Path], Reporter], ImportReport]
    read: tuple[Path, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def _add(published: Published) -> None:
    """Make the command of a source that has no options of its own."""

    def command(
        path: Directory,
        batch: Batch = None,
        limit: Limit = None,
        who: Who = "",
        workspace: WorkspaceOption = None,
        json: Json = False,
    ) -> None:
        name, deliver = _limited(published.name, limit), partial(published.into, path, limit=limit)
        wanted = Import(published.name, name, published.kinds, deliver, (path,), {"limit": limit})
        run_import(wanted, batch, who, workspace, json)

    help = f"{published.help}\n\nThe directory holds {published.layout}."
    sources.command(published.name, help=help, short_help=published.help)(command)


for _one in PUBLISHED:
    _add(_one)


@sources.command("product-feed")
def product_feed(
    path: Directory,
    all_categories: Annotated[
        bool, typer.Option("--all-categories", help="Keep the article types that are none of the eight categories.")
    ] = False,
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """A shop's catalogue with attributes, as Fashion Product Images is published.

    The directory holds styles.csv and images/<id>.jpg.
    """

    def deliver(places: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_product_feed(path, places["catalogue"], report, all_categories=all_categories, limit=limit)

    options = {"limit": limit, "all_categories": all_categories}
    name = _limited("product-feed-all" if all_categories else "product-feed", limit)
    run_import(Import("product-feed", name, ("catalogue",), deliver, (path,), options), batch, who, workspace, json)


@sources.command("folder")
def folder(
    path: Directory,
    table: Annotated[Path | None, typer.Option("--csv", help="The CSV, where it is not the only one there.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="category=label: the CSV calls its category 'label'. May be given several times."
        ),
    ] = None,
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Your own catalogue: images and a CSV; columns it does not know become attributes.

    The directory holds the images and a CSV: image, article_id, name, category, …
    """

    columns = dict(map(_renaming, column or ()))

    def deliver(places: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_folder(path, places["catalogue"], report, table=table, columns=columns, limit=limit)

    read = (path, table) if table else (path,)
    name, options = _limited(_name_of(path), limit), {"limit": limit, **({"columns": columns} if columns else {})}
    run_import(Import("folder", name, ("catalogue",), deliver, read, options), batch, who, workspace, json)


@sources.command("folder-photos")
def folder_photos(
    path: Directory,
    table: Annotated[Path | None, typer.Option("--csv", help="The CSV, where it is not photos.csv.")] = None,
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Your own photos, with the articles they show and their masks where you have them.

    The directory holds the photos and photos.csv: photo, article_id, domain, mask.
    """

    def deliver(places: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_folder_photos(path, places["street"], report, table=table, limit=limit)

    read = (path, table) if table else (path,)
    name = _limited(_name_of(path), limit)
    run_import(Import("folder-photos", name, ("street",), deliver, read, {"limit": limit}), batch, who, workspace, json)


@sources.command("sample")
def sample(
    garments: Annotated[int, typer.Option(min=4, help="How many garments to render.")] = 200,
    seed: Annotated[int, typer.Option(help="The wardrobe; the same seed gives the same pictures.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="The first garment of the wardrobe, for a later delivery.")] = 0,
    height: Annotated[int, typer.Option(min=96, help="The height of a photo in pixels; packshots are smaller.")] = 320,
    batch: Batch = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """A rendered wardrobe and people who wear it, with exact masks and pairs."""
    from orchestration.sources.sample import SampleSize, deliver_sample

    def deliver(places: dict[Kind, Path], report: Reporter) -> ImportReport:
        width = round(height * 0.75)
        packshot = (round(height * 0.8), round(height * 0.6))
        size = SampleSize(garments=garments, photo=(height, width), packshot=packshot)
        return deliver_sample(places["catalogue"], places["street"], report, seed=seed, size=size, first=first)

    options = {"garments": garments, "seed": seed, "first": first, "height": height}
    name = f"sample-{seed}-{first}-{garments}"
    wanted = Import("sample", name, ("catalogue", "street"), deliver, options=options)
    run_import(wanted, batch, who, workspace, json)


def run_import(wanted: Import, batch: str | None, who: str, workspace: Path | None, json: bool) -> None:
    """Deliver into `incoming/`, reach the verdicts, and accept; print the account. Exit code 2 on a rejection.

    What was imported before and did not change is not read again. Raises ThreadlineError when a delivery of that name,
    which no import made, waits in `incoming/`, or another batch was accepted under the name.
    """
    from orchestration.intake import accept_import, accepted_before

    opened = open_workspace(workspace)
    places, called = opened.places, check_batch_name(batch or wanted.name)
    left_out = places.home / "imports" / f"{'-'.join(wanted.kinds)}-{called}-left-out.csv"
    key = key_of(wanted.source, wanted.read, {**wanted.options, "batch": called})
    known = find_import(places, key)
    if known is not None:
        report, lines = known.report, [f"{wanted.source}: nothing changed since it was imported"]
        verdicts = [Verdict(kind, name, "already_accepted", (), {}) for kind, name, _ in known.batches]
    else:
        if (kind := accepted_before(places, wanted.kinds, called)) is not None:
            errors.print(f"{kind}/{called} was accepted before: what is not the same again needs a name, --batch NEW")
        with TerminalReporter(console) as reporter:
            deliver = partial(wanted.deliver, {kind: places.delivered(kind, called) for kind in wanted.kinds}, reporter)
            made, verdicts = accept_import(places, wanted.kinds, called, who or you(), deliver, reporter)
        made.write_left_out(left_out)
        report, lines = made.as_json(), made.lines()
        if made.share_left_out() >= opened.configuration.validation.quarantine_share:
            _warn_of(made, left_out)
        if all(verdict.accepted for verdict in verdicts):
            keep_import(places, key, report, wanted.kinds, called)
    if left_out.is_file():
        count = sum(one["count"] for one in report["left_out"])
        report = {**report, "left_out_count": count, "left_out_csv": str(left_out)}
        lines = [*lines, f"  all that was left out: {left_out}"]
    _tell(report, lines, verdicts, json)


def _warn_of(made: ImportReport, left_out: Path) -> None:
    """Say on the error stream that an import left a large share out."""
    count = made.left_out.total()
    if count:
        errors.print(
            f"{made.source}: {count:,} were left out, {made.share_left_out():.0%} of what was read\n"
            f"  What to do: {left_out} says where and why; put right what should be in, and import it with --batch NEW"
        )


def _tell(report: dict[str, Any], lines: list[str], verdicts: list[Verdict], json: bool) -> None:
    if json:
        print_json(_account(report, verdicts))
    else:
        for verdict in verdicts:
            lines = [*lines, *verdict.lines(), *([f"  report: {verdict.report}"] if verdict.report else [])]
        console.print("\n".join(lines))
    if not all(verdict.accepted for verdict in verdicts):
        raise typer.Exit(2)
    if not json:
        console.print("Next: threadline materialize")


def _account(report: dict[str, Any], verdicts: list[Verdict]) -> dict[str, Any]:
    told = [
        {"kind": v.kind, "batch": v.batch, "status": v.status, "problems": [vars(row) for row in v.rows]}
        for v in verdicts
    ]
    return {**report, "verdicts": told}


def _renaming(column: str) -> tuple[str, str]:
    """The name that is meant and the name that the CSV has, from "category=label"."""
    meant, _, given = column.partition("=")
    if not meant or not given:
        raise ThreadlineError(f"'{column}' names no column", "give both names, such as --column category=label")
    return meant, given


def _limited(name: str, limit: int | None) -> str:
    return f"{name}-{limit}" if limit else name


def _name_of(path: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", path.resolve().name.lower()).strip("-._")
    return name or "folder"
