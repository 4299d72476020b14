"""`threadline evaluate` and `threadline evaluate-masks`: a package measured on anyone's own pictures."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.errors import ThreadlineError
from orchestration.cli.output import Json, console, errors, print_json, print_table
from orchestration.cli.workspace import Limit, WorkspaceOption, open_workspace
from orchestration.progress import TerminalReporter
from orchestration.sources.report import ImportReport

if TYPE_CHECKING:
    from orchestration.evaluation import Evaluation, Score
    from orchestration.street_backgrounds import BeforeStreets
    from serving.inference import PackageSession

Source = Annotated[
    tuple[str, str],
    typer.Option(
        "--source", metavar="SOURCE PATH", help="What the pictures are, as in `threadline import`, and where."
    ),
]
SourceOrOwn = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--source",
        metavar="SOURCE PATH",
        help="What the pictures are, as in `threadline import`, and where; by default the workspace's test photos.",
        show_default=False,
    ),
]
Gallery = Annotated[
    list[str] | None,
    typer.Option("--gallery", metavar="PATH", help="More articles: a folder with a CSV, or SOURCE:PATH. Repeatable."),
]
Backgrounds = Annotated[
    str | None,
    typer.Option(
        "--backgrounds",
        metavar="SOURCE:PATH",
        help="Street photos with masks: the studio photos are measured again, cut out and set before these.",
    ),
]
Sheet = Annotated[Path | None, typer.Option("--sheet", help="Also draw a contact sheet, as a PNG.")]


def evaluate(
    source: SourceOrOwn = None,
    package: Annotated[
        str,
        typer.Argument(
            metavar="[VERSION|champion]",
            help="A version, 'champion', a model such as 'reid_baseline', or the digits of a package.",
            show_default=False,
        ),
    ] = "champion",
    gallery: Gallery = None,
    backgrounds: Backgrounds = None,
    limit: Limit = None,
    sheet: Sheet = None,
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Measure a package: each photo is searched in the source's articles and every gallery's.

    Nothing of the pictures is stored. With `--source sample` the path is the seed of a wardrobe to render. Without
    `--source` the photos are the workspace's own test photos, and the articles its whole catalogue.
    """
    from orchestration.evaluation import embed_looks, evaluate
    from orchestration.home import Home
    from orchestration.measuring import gather_backgrounds, gather_looks, own_looks
    from orchestration.packages import find_package
    from orchestration.report_sheets import write_sample_sheet
    from orchestration.street_backgrounds import measure_before_streets, stand_before
    from serving.inference import PackageSession

    if source is None and gallery:
        raise ThreadlineError("--gallery goes with --source only", "name the photos with --source")
    opened = open_workspace(workspace)
    session = PackageSession(find_package(opened, package))
    with tempfile.TemporaryDirectory(prefix="threadline-evaluate-") as folder, TerminalReporter(errors) as reporter:
        place, temporary = Path(folder), Home(Path(folder) / "home")
        gathered = gather_looks(source, gallery or [], place, reporter, limit) if source else own_looks(opened, limit)
        home = temporary if source else opened.home
        imports, left_out = list(gathered.imports), gathered.left_out
        before = None
        if backgrounds is not None:
            streets = gather_backgrounds(backgrounds, opened, place / "backgrounds", reporter)
            imports, left_out = imports + streets.imports, left_out + streets.left_out
            standing = stand_before(gathered.looks, streets.rows, place / "composites", left_out, reporter)
            before = measure_before_streets(session, standing, home, temporary, reporter)
        embedded = before.embedded if before else embed_looks(session, gathered.looks, home, reporter)
        measured = before.studio if before else evaluate(session, embedded, {})
        if sheet is not None:
            write_sample_sheet(sheet, session, embedded)
    if json:
        account = _account(session, source, imports, left_out)
        print_json({**account, **_figures(measured), **(_street_figures(before) if before else {})})
        return
    _say(session, source, imports, left_out)
    _show(measured, before)
    if sheet is not None:
        console.print(f"Drawn: {sheet}")


def evaluate_masks(
    source: Source,
    package: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]",
            help="As for `evaluate`; by default the champion where it segments, else the latest street2fashion.",
            show_default=False,
        ),
    ] = None,
    limit: Limit = None,
    sheet: Sheet = None,
    workspace: WorkspaceOption = None,
    json: Json = False,
) -> None:
    """Measure the person masks of a package on photos of your own that have true masks. Nothing of them is stored."""
    from orchestration.mask_evaluation import measure_masks, score_masks, write_worst
    from orchestration.measuring import gather_masks
    from orchestration.packages import find_segmenter
    from orchestration.report_tables import mask_rows
    from serving.inference import PackageSession

    session = PackageSession(find_segmenter(open_workspace(workspace), package))
    with tempfile.TemporaryDirectory(prefix="threadline-evaluate-") as folder, TerminalReporter(errors) as reporter:
        gathered = gather_masks(source, Path(folder), reporter, limit)
        measured = measure_masks(session, gathered.rows, reporter)
        score = score_masks(measured)
        if sheet is not None:
            write_worst(sheet, session, measured)
    if json:
        print_json({**_account(session, source, gathered.imports, gathered.left_out), **asdict(score)})
        return
    _say(session, source, gathered.imports, gathered.left_out)
    print_table(f"\nPerson masks of {score.photos} photos", ["figure", "value", "95 % interval"], mask_rows(score))
    console.print("Intervals: bootstrap over photos.", style="dim")
    if sheet is not None:
        console.print(f"Drawn, the worst first: {sheet}")


def _account(
    session: PackageSession, source: tuple[str, str] | None, imports: Sequence[ImportReport], left_out: Counter[str]
) -> dict[str, Any]:
    package = session.package
    return {
        "package": {"digest": package.digest, "method": package.method, "precision": session.precision},
        "source": {"name": source[0], "path": source[1]} if source else None,
        "imports": [report.as_json() for report in imports],
        "left_out": dict(left_out),
    }


def _say(
    session: PackageSession, source: tuple[str, str] | None, imports: Sequence[ImportReport], left_out: Counter[str]
) -> None:
    package = session.package
    photos = " ".join(source) if source else "the workspace's test photos"
    console.print(f"{package.method} {package.digest[:12]} ({session.precision}) on {photos}")
    for report in imports:
        for line in report.lines():
            console.print(line)
    for reason, count in left_out.items():
        console.print(f"  left out, {reason}: {count:,}")


def _figures(measured: Evaluation) -> dict[str, Any]:
    """The scores as plain values: of all queries, and apart."""
    apart = asdict(measured)
    return {
        "score": apart["scores"]["test"],
        "domains": {name: apart["scores"][f"test, {name}"] for name in _domains(measured)},
        **{key: apart[key] for key in ("single_images", "by_category", "within_category")},
    }


def _street_figures(before: BeforeStreets) -> dict[str, Any]:
    """The scores before street backgrounds as plain values; those of the studio stand beside them."""
    return {
        "street": {
            "score": asdict(before.street.scores["test"]),
            "acc_20_kept": before.kept,
            "masks": asdict(before.masks) if before.masks else None,
        }
    }


def _show_street(before: BeforeStreets) -> None:
    from orchestration.report_tables import mask_rows, score_rows

    columns = ["figure", "value", "95 % interval"]
    print_table("\nThe same photos before street backgrounds", columns, score_rows(before.street.scores["test"]))
    if before.kept is not None:
        console.print(f"Acc@20 before streets is {100 * before.kept:.1f} % of that in the studio.")
    if before.masks is not None:
        print_table("\nThe package's own person masks before streets", columns, mask_rows(before.masks))


def _domains(measured: Evaluation) -> list[str]:
    return [name.removeprefix("test, ") for name in measured.scores if name.startswith("test, ")]


def _show(measured: Evaluation, before: BeforeStreets | None) -> None:
    from orchestration.report_tables import score_rows

    score = measured.scores["test"]
    heading = f"\n{score.queries} queries, {score.gallery} articles; without a match and not counted: {score.skipped}"
    print_table(heading, ["figure", "value", "95 % interval"], score_rows(score))
    apart: dict[str, Score] = {}
    if measured.single_images is not None:
        apart["single images"] = measured.single_images
    apart |= {f"{name} photos": measured.scores[f"test, {name}"] for name in _domains(measured)}
    apart |= {f"{name}, within it": one for name, one in measured.within_category.items()}
    apart |= {f"{name}, merged": one for name, one in measured.by_category.items()}
    if apart:
        rows = [
            [name, one.queries, one.gallery, *(f"{100 * one.acc[k]:.1f} %" for k in (1, 20)), f"{one.mean_ap:.3f}"]
            for name, one in apart.items()
        ]
        print_table("\nApart", ["", "queries", "gallery", "Acc@1", "Acc@20", "mAP"], rows)
    console.print(
        "Rank percentile: the mean place of a right article in the gallery; lower is better. Intervals: bootstrap over "
        "queries. A category within it: among its own articles; merged: in the whole gallery.",
        style="dim",
    )
    if before is not None:
        _show_street(before)
