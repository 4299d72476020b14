"""The retrieval report: tables of accuracies, a plot, and contact sheets of every package."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.files import digest_of, write_text
from orchestration.code_versions import code_version
from orchestration.evaluation import Evaluation, embed_looks, evaluate
from orchestration.home import Home
from orchestration.mask_evaluation import MaskEvaluation, measure_masks, score_masks, write_worst
from orchestration.plots import plot_accuracy
from orchestration.progress import Reporter
from orchestration.report_sheets import PHOTOS, write_photo_sheet, write_query_sheets
from orchestration.report_tables import mask_table, retrieval_tables
from orchestration.resources import Workspace
from orchestration.rows import read_rows, write_rows
from orchestration.tables import batch_of
from orchestration.training_sets import look_version, resolve_looks, resolve_masks, version_of
from orchestration.workspace_tables import read_looks, read_photos, read_sides
from training.sets import LookPhoto, LookSet, Segmentation

EVALUATION = (
    *("orchestration.evaluation", "orchestration.ranking", "orchestration.intervals", "training.metrics"),
    *("orchestration.mask_evaluation", "orchestration.mask_metrics"),
    *("orchestration.contact_sheet", "orchestration.report_sheets"),
    *("orchestration.reranking", "serving.ordering"),
)
"""The code that measures and draws a package; when it changes, every package is measured again."""

WORST_MASKS = "worst-masks.png"


@dataclass(frozen=True)
class Report:
    """The evaluations and where the report lies; `masks` is None without a segmentation model or true masks."""

    evaluations: tuple[Evaluation, ...]
    masks: MaskEvaluation | None
    root: Path

    def metadata(self) -> dict[str, Any]:
        """For Dagster's pages."""
        figures = {f"{e.method} Acc@1": e.scores["test"].acc[1] for e in self.evaluations if "test" in e.scores}
        if self.masks is not None:
            figures |= {f"person IoU, {split}": score.iou for split, score in self.masks.scores.items()}
        return {**figures, "report": str(self.root / "report.md")}


def write_report(workspace: Workspace, packages: Mapping[str, str], segmenter: str | None, report: Reporter) -> Report:
    """Evaluate `packages` (name -> digest) and the `segmenter` (its digest), and write tables, plot and contact sheets.

    A package that was evaluated on the same look set by the same code is not evaluated again.
    """
    home = workspace.home
    evaluations = evaluate_packages(workspace, packages, report)
    masks = evaluate_segmenter(workspace, segmenter, report) if segmenter else None
    write_rows(home.derived("retrieval_report"), evaluations, Evaluation)
    write_text(home.report / "report.md", as_markdown(home, evaluations, masks))
    plot_accuracy(home.report / "accuracy.png", evaluations)
    return Report(tuple(evaluations), masks, home.report)


def read_report(home: Home) -> list[Evaluation]:
    """The evaluations of the present report."""
    return read_rows(home.derived("retrieval_report"), Evaluation)


def evaluate_packages(workspace: Workspace, packages: Mapping[str, str], report: Reporter) -> list[Evaluation]:
    """The evaluation of each of `packages` (name -> digest), made where it is not kept, with its sheets."""
    home, looks = workspace.home, read_looks(workspace, "look_set")
    resolved = resolve_looks(looks, workspace.data, home.root)
    there = {photo.photo_id for photo in resolved.photos}
    batches = {one.photo_id: batch_of(one.image.as_posix()) for one in looks.photos if one.photo_id in there}
    key = digest_of([look_version(resolved), sorted(batches.items()), code_version(EVALUATION)])
    evaluations = []
    for digest in packages.values():
        path = home.evaluation(digest, key)
        if not path.exists():
            session = workspace.session(digest)
            embedded = embed_looks(session, resolved, home, report)
            evaluation = evaluate(session, embedded, batches)
            if "test" in evaluation.scores:
                folder = sheets_of(home, evaluation)
                write_query_sheets(folder, session, embedded)
                for domain, photos in _held_out(workspace, resolved).items():
                    write_photo_sheet(folder / f"photos-{domain}.png", session, embedded, photos)
            write_rows(path, [evaluation], Evaluation)
        evaluations += read_rows(path, Evaluation)
    return evaluations


def evaluate_segmenter(workspace: Workspace, digest: str, report: Reporter) -> MaskEvaluation | None:
    """The evaluation of the segmentation model on the photos with true masks; None where all of them were trained on.

    The twelve worst of the test split (or, without one, of the validation split) are drawn.
    """
    home = workspace.home
    rows = resolve_masks(read_rows(home.derived("mask_set"), Segmentation), workspace.data)
    rows = [row for row in rows if row.split in ("val", "test")]
    if not rows:
        return None
    path = home.evaluation(digest, digest_of([version_of(rows), code_version(EVALUATION)]))
    if not path.exists():
        session = workspace.session(digest)
        measured = measure_masks(session, rows, report)
        groups = {split: [one for one in measured if one.row.split == split] for split in ("val", "test")}
        shown = groups["test"] or groups["val"]
        scores = {split: score_masks(group) for split, group in groups.items() if group}
        evaluation = MaskEvaluation(digest, session.package.method, session.precision, scores)
        write_worst(sheets_of(home, evaluation) / WORST_MASKS, session, shown)
        write_rows(path, [evaluation], MaskEvaluation)
    return read_rows(path, MaskEvaluation)[0]


def sheets_of(home: Home, evaluation: Evaluation | MaskEvaluation) -> Path:
    """Where the contact sheets of an evaluated package lie."""
    return home.report / f"{evaluation.method}-{evaluation.digest[:8]}"


def as_markdown(home: Home, evaluations: list[Evaluation], masks: MaskEvaluation | None) -> str:
    """The report as a page; it names the contact sheets that lie beside it."""
    tables = retrieval_tables(evaluations) + ([mask_table(masks)] if masks else [])
    sections = [table.as_markdown() for table in tables]
    sheets = []
    measured: list[Evaluation | MaskEvaluation] = [*evaluations, *([masks] if masks else [])]
    for evaluation in measured:
        files = sorted(sheets_of(home, evaluation).glob("*.png"))
        links = ", ".join(f"[{file.stem}]({file.relative_to(home.report).as_posix()})" for file in files)
        sheets += [f"- {evaluation.method}: {links}"] if links else []
    if sheets:
        sections.append("## Contact sheets\n\nThe right articles are framed in green.\n\n" + "\n".join(sheets) + "\n")
    return "\n".join(["# Retrieval report\n", *sections])


def _held_out(workspace: Workspace, looks: LookSet) -> dict[str, list[LookPhoto]]:
    """A dozen test photos of each domain there is, with or without known articles."""
    known = {photo.photo_id: photo.articles for photo in looks.photos}
    sides = read_sides(workspace)
    by_domain: dict[str, list[LookPhoto]] = {}
    for photo in read_photos(workspace)[0]:
        if sides.get(("photo", photo.photo_id)) == "test":
            shown = LookPhoto(
                photo_id=photo.photo_id,
                domain=photo.domain,
                image=workspace.data / photo.image,
                sha256=photo.sha256,
                mask=None,
                mask_sha256="",
                articles=known.get(photo.photo_id, ()),
                split="test",
            )
            by_domain.setdefault(photo.domain, []).append(shown)
    return {domain: random.Random(0).sample(photos, min(PHOTOS, len(photos))) for domain, photos in by_domain.items()}
