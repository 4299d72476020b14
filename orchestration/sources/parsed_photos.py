"""Street photos whose pixels are labelled: the labels give the person's mask and the categories worn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.batches import Photo, write_street_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.images import Size, UnreadableImage, size_of
from contracts.masks import write_mask
from contracts.vocabulary import CATEGORIES
from orchestration.expectations.picture_facts import look_at_all
from orchestration.progress import Reporter
from orchestration.sources.categories import map_category
from orchestration.sources.pictures import KNOWN_ENDINGS, copy_picture, safe_name
from orchestration.sources.report import ImportReport

BACKGROUND = 0
"""The label of the background; every other label is on the person."""

LabelMap = NDArray[np.integer]
"""(H, W) whole numbers: the label of every pixel."""


@dataclass(frozen=True)
class Labels:
    """What is known of a photo: the label of every pixel, where there is one, and the names of what is worn."""

    map: LabelMap | None
    garments: tuple[str, ...]


ReadLabels = Callable[[Path], Labels | None]
"""The labels of a photo; None where it has none. Raises ValueError when they cannot be read."""


@dataclass(frozen=True)
class _Taken:
    """A photo as taken (None: it was not), what was wrong with it, and the names of what is worn."""

    photo: Photo | None
    reason: str = ""
    detail: str = ""
    garments: tuple[str, ...] = ()


def deliver_parsed_photos(
    folder: Path,
    read_labels: ReadLabels,
    into: Path,
    report: ImportReport,
    progress: Reporter,
    *,
    limit: int | None,
    prefix: str = "",
) -> ImportReport:
    """Turn the photos in `folder` into a street batch at `into`; `prefix` begins their ids.

    A photo without labels, or whose labels cannot be read or are of another size, is taken without a mask. At most
    `limit` photos are taken, in the order of their names. Raises ThreadlineError when there are no photos; one that
    cannot be read is left out and reported.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in KNOWN_ENDINGS)[:limit]
    if not files:
        raise ThreadlineError(f"{folder} holds no photos", "give the directory as published")
    with new_directory(into) as batch:
        taken = look_at_all(partial(_take, batch, read_labels, prefix), files, "copying photos", progress)
        photos = [_account(file, one, report) for file, one in zip(files, taken, strict=True)]
        kept = [photo for photo in photos if photo is not None]
        report.require(len(kept), folder)
        write_street_batch(batch, kept, ())
    report.taken.update(photos=len(kept), masks=sum(photo.mask is not None for photo in kept))
    report.counts["worn"] = Counter(category for photo in kept for category in photo.worn)
    return report


def names_of(labels: LabelMap, names: Sequence[str]) -> tuple[str, ...]:
    """The `names` of the labels that occur in a label map; a label beyond the names has none."""
    return tuple(names[label] for label in np.unique(labels) if 0 <= label < len(names))


def _take(batch: Path, read_labels: ReadLabels, prefix: str, file: Path) -> _Taken:
    photo_id = f"{prefix}{file.stem}"
    try:
        copied = copy_picture(file, batch, safe_name(photo_id))
        size = size_of((batch / copied.path).read_bytes())
    except UnreadableImage as error:
        return _Taken(None, "the photo cannot be read", str(error))
    photo = Photo(photo_id, image=copied.path, sha256=copied.sha256)
    try:
        labels = read_labels(file)
    except ValueError as error:
        return _Taken(photo, "the labels cannot be read (the photo is taken without a mask)", str(error))
    return _Taken(photo) if labels is None else _with_labels(batch, photo, size, labels)


def _with_labels(batch: Path, photo: Photo, size: Size, labels: Labels) -> _Taken:
    """The photo of `size` (height, width) with what its labels tell; the mask is written into the batch."""
    categories = {map_category(name, Counter()) for name in labels.garments}
    dressed = replace(photo, worn=tuple(one for one in CATEGORIES if one in categories))
    if labels.map is None:
        return _Taken(dressed, garments=labels.garments)
    if labels.map.shape != size:
        sizes = f"{labels.map.shape[1]} x {labels.map.shape[0]} px, the photo {size[1]} x {size[0]}"
        reason = "the labels are of another size (the photo is taken without a mask)"
        return _Taken(dressed, reason, sizes, labels.garments)
    mask = f"masks/{safe_name(photo.photo_id)}.png"
    write_mask(batch / mask, np.asarray(labels.map != BACKGROUND))
    return _Taken(replace(dressed, mask=mask), garments=labels.garments)


def _account(file: Path, taken: _Taken, report: ImportReport) -> Photo | None:
    if taken.reason:
        report.leave_out(taken.reason, f"{file.parent.name}/{file.name}", detail=taken.detail)
    for name in taken.garments:
        map_category(name, report.mapped)
    return taken.photo
