"""The retrieval report: a table of accuracies, a plot, and contact sheets of every package."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.files import write_text
from contracts.images import Picture, read
from contracts.masks import segmented
from orchestration.contact_sheet import Found, SheetRow, write_sheet
from orchestration.evaluation import Embedded, Evaluation, embed_looks, evaluate, read_evaluation, write_evaluation
from orchestration.home import Home
from orchestration.plots import plot_accuracy
from orchestration.progress import Reporter
from orchestration.resources import Workspace
from orchestration.rows import read_rows, write_rows
from orchestration.training_sets import look_version, resolve_looks
from orchestration.workspace_tables import read_looks
from serving.inference import PackageSession
from training.sets import LookPhoto, LookSet

_SHEET_ROWS, _SHEET_COLUMNS = 8, 8


@dataclass(frozen=True)
class Report:
    """The evaluations and where the report lies."""

    evaluations: tuple[Evaluation, ...]
    root: Path

    def metadata(self) -> dict[str, Any]:
        """For Dagster's pages."""
        figures = {f"{e.method} Acc@1": e.scores["test"].acc[1] for e in self.evaluations if "test" in e.scores}
        return {**figures, "report": str(self.root / "report.md")}


def write_report(workspace: Workspace, packages: Mapping[str, str], report: Reporter) -> Report:
    """Evaluate `packages` (name -> digest) on the look set and write tables, plot and contact sheets."""
    home = workspace.home
    looks = read_looks(workspace, "look_set")
    version = look_version(looks)
    resolved = resolve_looks(looks, workspace.data, home.root)
    evaluations = []
    for name, digest in packages.items():
        path = home.evaluation(digest, version)
        sheet = home.report / f"{name}.png"
        if not path.exists():
            session = workspace.session(digest)
            embedded = embed_looks(session, resolved, home, report) if looks.photos else nothing(session)
            write_evaluation(path, evaluate(session, embedded))
            _write_sheet(sheet, session, embedded, resolved)
        evaluations.append(read_evaluation(path))
    write_rows(home.derived("retrieval_report"), evaluations, Evaluation)
    write_text(home.report / "report.md", as_markdown(evaluations))
    plot_accuracy(home.report / "accuracy.png", evaluations)
    return Report(tuple(evaluations), home.report)


def read_report(home: Home) -> list[Evaluation]:
    """The evaluations of the present report."""
    return read_rows(home.derived("retrieval_report"), Evaluation)


def nothing(session: PackageSession) -> Embedded:
    """What there is to evaluate without a single pair."""
    none = np.zeros((0, session.package.dimension), np.float32)
    return Embedded((), none, none, ())


def as_markdown(evaluations: Sequence[Evaluation]) -> str:
    """The table of accuracies. Queries whose articles are not in the gallery are skipped and counted."""
    lines = [
        "| package | queries | n | skipped | gallery | Acc@1 | Acc@10 | Acc@20 | Acc@50 | mAP |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for evaluation in evaluations:
        for group, score in evaluation.scores.items():
            shares = " | ".join(f"{100 * score.acc[k]:.1f} %" for k in (1, 10, 20, 50))
            lines.append(
                f"| {evaluation.method} | {group} | {score.queries} | {score.skipped} | {score.gallery} "
                f"| {shares} | {score.mean_ap:.3f} |"
            )
    return "\n".join(lines) + "\n"


def _write_sheet(path: Path, session: PackageSession, embedded: Embedded, looks: LookSet) -> None:
    """Random test photos with what the package finds, the right articles framed in green."""
    rows = [row for row, photo in enumerate(embedded.photos) if photo.split == "test"]
    chosen = random.Random(0).sample(rows, min(_SHEET_ROWS, len(rows)))
    if not chosen:
        return
    images = {article.article_id: article.images[0] for article in looks.articles}
    sheet = []
    for row in chosen:
        best = np.argsort(-(embedded.gallery @ embedded.queries[row]), kind="stable")[:_SHEET_COLUMNS]
        ids = [embedded.article_ids[int(position)] for position in best]
        sheet.append(_sheet_row(session, embedded.photos[row], ids, images))
    write_sheet(path, sheet)


def _sheet_row(
    session: PackageSession, photo: LookPhoto, article_ids: Sequence[str], images: Mapping[str, Path]
) -> SheetRow:
    picture = read(photo.image)
    person: Picture | None = None
    if session.package.segments:
        person = segmented(picture, session.segment([picture])[0])
    found = [Found(read(images[key]), key, key in photo.articles) for key in article_ids]
    return SheetRow(picture, person, found, photo.photo_id)
