"""How well a package finds the person in photos that no training saw, at the photos' own resolution."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.images import Picture, read
from contracts.masks import Mask, read_mask, whiten
from orchestration.contact_sheet import Found, SheetRow, write_sheet
from orchestration.intervals import Interval, bootstrap_intervals
from orchestration.mask_metrics import boundary_f_score
from orchestration.progress import Reporter
from serving.inference import PackageSession
from training.metrics import intersection_over_union
from training.sets import Segmentation

WORST = 12
_MISSED, _ADDED = (214, 39, 40), (31, 119, 180)


@dataclass(frozen=True)
class MaskScore:
    """The figures of one group of photos; higher is better but for `milliseconds`.

    `iou` and `iou_p5` are the mean and the 5th percentile of the person's intersection over union, `boundary_f` the
    mean boundary F-score at 3 px, and `milliseconds` the median time a photo takes from decoded picture to mask.
    `intervals` are 95 % bootstrap intervals of the first three, by their names.
    """

    photos: int
    iou: float
    iou_p5: float
    boundary_f: float
    milliseconds: float
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class MaskEvaluation:
    """A segmentation model's scores by split."""

    digest: str
    method: str
    precision: str
    scores: dict[str, MaskScore]


@dataclass(frozen=True)
class MeasuredMask:
    """What became of one photo."""

    row: Segmentation
    iou: float
    boundary_f: float
    seconds: float


def measure_masks(session: PackageSession, rows: Sequence[Segmentation], report: Reporter) -> list[MeasuredMask]:
    """Segment each photo of `rows` (absolute paths) by itself and compare it with its truth."""
    measured = []
    for done, row in enumerate(rows, 1):
        picture, truth = read(row.image), read_mask(row.mask)
        if done == 1:
            session.segment([picture])  # the first call of a network is slower than the rest
        started = time.perf_counter()
        predicted = session.segment([picture])[0]
        seconds = time.perf_counter() - started
        iou = float(intersection_over_union(predicted[None], truth[None])[0])
        measured.append(MeasuredMask(row, iou, boundary_f_score(predicted, truth), seconds))
        report("person masks", done, len(rows))
    return measured


def score_masks(measured: Sequence[MeasuredMask]) -> MaskScore:
    """The figures of photos, at least one."""
    values = np.array([[one.iou, one.boundary_f] for one in measured])
    fifth = partial(np.percentile, q=5)
    iou, boundary_f = bootstrap_intervals(values)
    return MaskScore(
        photos=len(measured),
        iou=float(values[:, 0].mean()),
        iou_p5=float(fifth(values[:, 0])),
        boundary_f=float(values[:, 1].mean()),
        milliseconds=1000 * float(np.median([one.seconds for one in measured])),
        intervals={"iou": iou, "iou_p5": bootstrap_intervals(values[:, :1], fifth)[0], "boundary_f": boundary_f},
    )


def write_worst(path: Path, session: PackageSession, measured: Sequence[MeasuredMask]) -> None:
    """The twelve photos with the lowest intersection over union: photo, prediction, truth, and where they differ.

    Person that was missed is red, background that was taken for person is blue.
    """
    worst = sorted(measured, key=lambda one: one.iou)[:WORST]
    write_sheet(path, [_row(session, one) for one in worst])


def _row(session: PackageSession, one: MeasuredMask) -> SheetRow:
    picture, truth = read(one.row.image), read_mask(one.row.mask)
    predicted = session.segment([picture])[0]
    found = [
        Found(whiten(picture, truth), "truth"),
        Found(_difference(picture, predicted, truth), f"IoU {one.iou:.3f}  F {one.boundary_f:.3f}"),
    ]
    return SheetRow(picture, whiten(picture, predicted), found, one.row.photo_id)


def _difference(picture: Picture, predicted: Mask, truth: Mask) -> Picture:
    shown: NDArray[np.uint8] = (picture // 2 + 128).astype(np.uint8)
    shown[truth & ~predicted] = _MISSED
    shown[predicted & ~truth] = _ADDED
    return shown
