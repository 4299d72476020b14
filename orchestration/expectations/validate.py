"""Reaching a verdict on a delivered batch. Nothing is moved here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.batches import (
    ARTICLES,
    PAIRS,
    PHOTOS,
    CatalogueBatch,
    Kind,
    StreetBatch,
    read_catalogue_batch,
    read_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import new_directory, printable
from orchestration.expectations.checks import checks_for
from orchestration.expectations.contact_sheet import write_contact_sheet
from orchestration.expectations.data_docs import Failure, run_checks
from orchestration.expectations.fact_table import FactTable
from orchestration.expectations.frames import Frames, catalogue_frames, street_frames
from orchestration.expectations.known import TABLES, KnownData
from orchestration.expectations.lenience import Lenience
from orchestration.expectations.quarantine import UNNAMED, unnamed_in
from orchestration.expectations.thresholds import Thresholds
from orchestration.expectations.verdict import CONTACT_SHEET, DATA_DOCS, RowProblem, Status, Verdict, write_verdict
from orchestration.progress import Reporter
from orchestration.silence import silent


def validate_batch(
    kind: Kind,
    root: Path,
    known: KnownData,
    out: Path,
    thresholds: Thresholds | None = None,
    progress: Reporter = silent,
    *,
    kept: Path | None = None,
    lenience: Lenience = "none",
) -> Verdict:
    """Look at the batch in `root` and reach a verdict; the report (verdict, Data Docs, contact sheet) goes to `out`.

    A report that was there before is replaced. Facts of pictures are kept in the directory `kept` (by default beside
    the report). Never raises for what the batch holds: a batch that is none is rejected.
    """
    judge = _Judge(known, FactTable(kept or out.parent), thresholds or Thresholds(), lenience, progress)
    with new_directory(out) as report:
        try:
            batch = read_catalogue_batch(root) if kind == "catalogue" else read_street_batch(root)
        except ThreadlineError as error:
            verdict = Verdict(kind, root.name, "rejected", (_no_batch(kind, root, error),), {})
        else:
            verdict = judge.verdict(kind, batch, report)
            verdict = replace(verdict, report=str(out / DATA_DOCS / "index.html"))
            write_contact_sheet(report / CONTACT_SHEET, root, verdict.rows)
        write_verdict(report, verdict)
    return verdict


@dataclass(frozen=True)
class _Judge:
    """What a batch is judged by."""

    known: KnownData
    table: FactTable
    thresholds: Thresholds
    lenience: Lenience
    progress: Reporter

    def verdict(self, kind: Kind, batch: CatalogueBatch | StreetBatch, report: Path) -> Verdict:
        """The verdict on `batch`; its Data Docs go below `report`."""
        name = batch.root.name
        frames, counts = self._facts(batch)
        self.progress("checking expectations", 0, 1)
        checks = checks_for(kind, self.thresholds)
        failures = run_checks(frames, checks, f"{kind} {name}", report / DATA_DOCS)
        self.progress("checking expectations", 1, 1)
        problems = [_problem(kind, frames, failure, self.lenience) for failure in failures]
        if not any(counts.values()):
            problems.append(RowProblem(TABLES[kind][0], -1, "", "", "the batch holds no rows"))
        if isinstance(batch, StreetBatch):
            problems += _left_alone(batch, problems, self.known)
        problems += _unnamed(kind, batch)
        problems.sort(key=lambda one: (one.warning, one.table, one.row))
        share = {"none": self.thresholds.quarantine_share, "any_share": math.inf, "taste": 0.0}[self.lenience]
        return Verdict(
            kind, name, _status(problems, counts, share), tuple(problems), _statistics(frames, problems, counts)
        )

    def _facts(self, batch: CatalogueBatch | StreetBatch) -> tuple[Frames, dict[str, int]]:
        """The tables of facts, and how many rows each table of the batch has."""
        if isinstance(batch, CatalogueBatch):
            frames = catalogue_frames(batch, self.known, self.table, self.thresholds, self.progress)
            return frames, {ARTICLES: len(batch.articles)}
        frames = street_frames(batch, self.known, self.table, self.thresholds, self.progress)
        return frames, {PHOTOS: len(batch.photos), PAIRS: len(batch.pairs)}


def _no_batch(kind: Kind, root: Path, error: ThreadlineError) -> RowProblem:
    """Why what lies in `root` is no batch, and what to do."""
    table, remedy = TABLES[kind][0], error.remedy
    if not (root / table).exists() and any(path.suffix.lower() == ".csv" for path in root.iterdir()):
        source = {"catalogue": "folder", "street": "folder-photos"}[kind]
        remedy = f"it holds a CSV: move it out of incoming/, then run: threadline import {source} PATH"
    return RowProblem(table, -1, "", "", f"{error.problem}; what to do: {remedy}")


def _unnamed(kind: Kind, batch: CatalogueBatch | StreetBatch) -> list[RowProblem]:
    """A warning where there are files that no row names: they do not become data."""
    files = unnamed_in(batch)
    if not files:
        return []
    told = f"files that no row names (they go to {UNNAMED}/ in quarantine): {len(files):,}, such as"
    return [RowProblem(TABLES[kind][0], -1, "", "", f"{told} {printable(Path(files[0]))}", warning=True)]


def _problem(kind: Kind, frames: Frames, failure: Failure, lenience: Lenience) -> RowProblem:
    table = PAIRS if failure.check.frame == "pairs" else TABLES[kind][0]
    row = frames[failure.check.frame].iloc[failure.place]
    reason = failure.check.reason.format(value=failure.value)
    warning = failure.check.warning or (lenience == "taste" and failure.check.taste)
    return RowProblem(table, int(row["row"]), str(row["id"]), str(row["image"]), reason, warning)


def _left_alone(batch: StreetBatch, problems: Sequence[RowProblem], known: KnownData) -> list[RowProblem]:
    """The sound pairs whose photo is set aside: they go with it."""
    failed = {(one.table, one.row) for one in problems if not one.warning}
    kept = {photo.photo_id for row, photo in enumerate(batch.photos) if (PHOTOS, row) not in failed} | known.photos
    return [
        RowProblem(PAIRS, row, f"{pair.photo_id} / {pair.article_id}", "", "its photo is set aside")
        for row, pair in enumerate(batch.pairs)
        if pair.photo_id not in kept and (PAIRS, row) not in failed
    ]


def _status(problems: Sequence[RowProblem], counts: dict[str, int], most: float) -> Status:
    """Rejected when the share of failing rows of any table reaches `most`."""
    failing = [one for one in problems if not one.warning]
    if not failing:
        return "accepted"
    if any(one.row < 0 for one in failing):
        return "rejected"
    for table, count in counts.items():
        failed = len({one.row for one in failing if one.table == table})
        if failed and failed >= most * count:
            return "rejected"
    return "accepted_with_quarantine"


def _statistics(frames: Frames, problems: Sequence[RowProblem], counts: dict[str, int]) -> dict[str, float]:
    images = frames["images"]
    statistics = {f"rows of {table}": float(count) for table, count in counts.items()}
    statistics["pictures"] = float(len(images))
    sides = images["side_px"].dropna()
    if len(sides):
        statistics["median of the smaller side, px"] = float(sides.median())
    for table in counts:
        failed = {one.row for one in problems if one.table == table and not one.warning and one.row >= 0}
        statistics[f"failing rows of {table}"] = float(len(failed))
    statistics["warnings"] = float(sum(one.warning for one in problems))
    return statistics
