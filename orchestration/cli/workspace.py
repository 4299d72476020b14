"""`threadline init` and `threadline import`."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from contracts.batches import Kind, check_batch_name
from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration import dvc_data
from orchestration.cli.output import Json, console, print_json
from orchestration.configuration import CONFIGURATION_FILE, TEMPLATE
from orchestration.expectations.verdict import Verdict
from orchestration.intake import accept
from orchestration.places import Places
from orchestration.progress import Reporter, TerminalReporter
from orchestration.resources import Workspace, workspace_from_environment
from orchestration.sources.report import ImportReport

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="The workspace; by default THREADLINE_WORKSPACE, or the current directory."),
]
Batch = Annotated[
    str | None, typer.Option("--batch", help="The batch's name; by default the source's name and its size.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Take at most this many rows.")]
Who = Annotated[str, typer.Option("--who", help="Who accepts the batch, for the ledger.", show_default="you")]

sources = typer.Typer(help="Import a folder of pictures as a batch, validate it, and accept it.", no_args_is_help=True)

Deliver = Callable[[dict[Kind, Path], Reporter], ImportReport]


def init(
    directory: Annotated[Path, typer.Argument(help="The directory to make a workspace of; it may exist already.")],
    preset: Annotated[
        Literal["demo", "workstation"], typer.Option(help="Model sizes and epochs: minutes, or real data.")
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
    return found


@sources.command("viton")
def viton(
    path: Annotated[Path, typer.Argument(help="The directory with person/, cloth/ and pairs.csv.")],
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Studio photos and packshots of the same garments, in VITON's layout."""
    from orchestration.sources.viton import deliver_viton

    def deliver(into: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_viton(path, into["catalogue"], into["street"], report, limit=limit)

    _import("viton", ("catalogue", "street"), deliver, batch, limit, who, workspace, json)


@sources.command("clothing-co-parsing")
def clothing_co_parsing(
    path: Annotated[Path, typer.Argument(help="The directory with photos/ and annotations/.")],
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Street photos whose pixel labels give the person mask, in Clothing Co-Parsing's layout."""
    from orchestration.sources.clothing_co_parsing import deliver_clothing_co_parsing

    def deliver(into: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_clothing_co_parsing(path, into["street"], report, limit=limit)

    _import("clothing-co-parsing", ("street",), deliver, batch, limit, who, workspace, json)


@sources.command("product-feed")
def product_feed(
    path: Annotated[Path, typer.Argument(help="The directory with styles.csv and images/.")],
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """A shop's catalogue with attributes: styles.csv and images/<id>.jpg."""
    from orchestration.sources.product_feed import deliver_product_feed

    def deliver(into: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_product_feed(path, into["catalogue"], report, limit=limit)

    _import("product-feed", ("catalogue",), deliver, batch, limit, who, workspace, json)


@sources.command("folder")
def folder(
    path: Annotated[
        Path, typer.Argument(help="A directory of images with a CSV: image, article_id, name, category, …")
    ],
    table: Annotated[Path | None, typer.Option("--csv", help="The CSV, where it is not the only one there.")] = None,
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Your own catalogue: a directory of images and a CSV; columns it does not know become attributes."""
    from orchestration.sources.folder import deliver_folder

    def deliver(into: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_folder(path, into["catalogue"], report, table=table, limit=limit)

    _import(_name_of(path), ("catalogue",), deliver, batch, limit, who, workspace, json)


@sources.command("folder-photos")
def folder_photos(
    path: Annotated[
        Path, typer.Argument(help="A directory of photos with photos.csv: photo, article_id, domain, mask.")
    ],
    table: Annotated[Path | None, typer.Option("--csv", help="The CSV, where it is not photos.csv.")] = None,
    batch: Batch = None,
    limit: Limit = None,
    who: Who = "",
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Your own photos, with the articles they show and their masks where you have them."""
    from orchestration.sources.folder_photos import deliver_folder_photos

    def deliver(into: dict[Kind, Path], report: Reporter) -> ImportReport:
        return deliver_folder_photos(path, into["street"], report, table=table, limit=limit)

    _import(_name_of(path), ("street",), deliver, batch, limit, who, workspace, json)


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

    def deliver(into: dict[Kind, Path], report: Reporter) -> ImportReport:
        width = round(height * 0.75)
        packshot = (round(height * 0.8), round(height * 0.6))
        size = SampleSize(garments=garments, photo=(height, width), packshot=packshot)
        return deliver_sample(into["catalogue"], into["street"], report, seed=seed, size=size, first=first)

    _import(f"sample-{seed}-{first}-{garments}", ("catalogue", "street"), deliver, batch, None, who, workspace, json)


def _name_of(path: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", path.resolve().name.lower()).strip("-._")
    return name or "folder"


def _import(
    name: str,
    kinds: tuple[Kind, ...],
    deliver: Deliver,
    batch: str | None,
    limit: int | None,
    who: str,
    workspace: Path | None,
    json: bool,
) -> None:
    """Deliver into `incoming/`, reach the verdicts, and accept; print the account. Exit code 2 on a rejection."""
    places = open_workspace(workspace).places
    called = check_batch_name(batch or (f"{name}-{limit}" if limit else name))
    with TerminalReporter(console) as reporter:
        report = deliver({kind: places.delivered(kind, called) for kind in kinds}, reporter)
        verdicts = [accept(places, kind, called, who or getpass.getuser(), reporter) for kind in kinds]
    if json:
        print_json(_account(report, verdicts))
    else:
        for line in report.lines():
            console.print(line, markup=False)
        for verdict in verdicts:
            console.print("\n".join(verdict.lines()), markup=False)
            if verdict.report:
                console.print(f"  report: {verdict.report}", markup=False)
    if not all(verdict.accepted for verdict in verdicts):
        raise typer.Exit(2)
    if not json:
        console.print("Next: threadline materialize")


def _account(report: ImportReport, verdicts: list[Verdict]) -> dict[str, Any]:
    told = [
        {"kind": v.kind, "batch": v.batch, "status": v.status, "problems": [vars(row) for row in v.rows]}
        for v in verdicts
    ]
    return {**report.as_json(), "verdicts": told}
