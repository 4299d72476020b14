"""A directory of photos with a CSV that says which articles each shows."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from contracts.batches import Pair, Photo, write_street_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.masks import write_mask
from contracts.vocabulary import DOMAINS
from orchestration.expectations.picture_facts import look_at_all
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.copying import Listed, copy_all
from orchestration.sources.folder import PHOTOS_TABLE
from orchestration.sources.pictures import ImagesBelow, directory, safe_name
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row, read_csv

_COLUMNS = ("photo", "article_id", "domain", "mask")


@dataclass(frozen=True)
class _Planned:
    """A photo to be copied, and its mask as the CSV gives it (empty: none)."""

    source: Path
    listed: Listed
    domain: str
    mask: str


@dataclass(frozen=True)
class _Mask:
    """A mask's path in the batch, or what was wrong with it."""

    path: str
    problem: str = ""


def deliver_folder_photos(
    path: Path, into: Path, progress: Reporter = silent, *, table: Path | None = None, limit: int | None = None
) -> ImportReport:
    """Turn the photos of the directory `path` into a street batch at `into`.

    The CSV is `table`, or `photos.csv` in `path`: `photo` (required, a path below `path`; a photo's stem is its id),
    `article_id` (optional; several rows where a photo shows several), `domain` (street or studio; street where it is
    empty) and `mask` (a path to a picture that is white on the person). At most `limit` photos are taken.

    Raises ThreadlineError when the directory or the CSV cannot be used at all; a bad row is left out and reported.
    """
    directory(path, "the photos and their CSV")
    images = ImagesBelow(path)
    rows = read_csv(
        table or path / PHOTOS_TABLE, ["photo"], known=_COLUMNS, is_row=lambda values: images.has(values["photo"])
    )
    report = ImportReport("folder")
    planned, shown = _plan(images, rows.path.name, rows.rows, report, limit)
    with new_directory(into) as batch:
        wanted = [(safe_name(photo_id), one.listed) for photo_id, one in planned.items()]
        copied = copy_all(batch, wanted, "copying photos", report, progress)
        taken = {photo_id: one for photo_id, one in zip(planned, copied, strict=True) if one is not None}
        with_masks = [(photo_id, planned[photo_id]) for photo_id in taken if planned[photo_id].mask]
        masks = look_at_all(partial(_copy_mask, images, batch), with_masks, "copying masks", progress)
        paths = _account(with_masks, masks, rows.path.name, report)
        photos = {
            photo_id: Photo(photo_id, "upsert", planned[photo_id].domain, one.path, one.sha256, paths.get(photo_id))
            for photo_id, one in taken.items()
        }
        pairs = [Pair(photo_id, article_id) for photo_id, article_id in shown if photo_id in photos]
        report.require(len(photos), path)
        write_street_batch(batch, list(photos.values()), pairs)
    report.taken.update(photos=len(photos), masks=len(paths), pairs=len(pairs))
    return report


def _plan(
    images: ImagesBelow, file: str, rows: Iterable[Row], report: ImportReport, limit: int | None
) -> tuple[dict[str, _Planned], list[tuple[str, str]]]:
    """The photos by id, each from the first row that names it, and the (photo, article) pairs, each once."""
    planned: dict[str, _Planned] = {}
    shown: dict[tuple[str, str], None] = {}
    for row in rows:
        photo = _photo_of(images, file, row, report)
        if photo is None:
            continue
        photo_id = photo.source.stem
        if photo_id not in planned and limit is not None and len(planned) >= limit:
            continue
        if planned.setdefault(photo_id, photo).source != photo.source:
            report.leave_out("another photo has this name, which is its id", file, row.line, photo.listed.given)
        elif row.values.get("article_id"):
            shown[photo_id, row.values["article_id"]] = None
    return planned, list(shown)


def _photo_of(images: ImagesBelow, file: str, row: Row, report: ImportReport) -> _Planned | None:
    given = row.values["photo"]
    domain = row.values.get("domain", "").lower() or "street"
    if row.problem or not given or domain not in DOMAINS:
        reason = row.problem or f"the row names no photo, or a domain that is not {' or '.join(DOMAINS)}"
        report.leave_out(reason, file, row.line, given)
        return None
    try:
        source = images.find(given)
        return _Planned(source, Listed(source, given, file, row.line), domain, row.values.get("mask", ""))
    except FileNotFoundError as error:
        report.leave_out("the photo is missing", file, row.line, str(error))
    except (ThreadlineError, OSError, ValueError) as error:
        report.leave_out("the path leaves the directory or cannot be one", file, row.line, f"{given}: {error}")
    return None


def _copy_mask(images: ImagesBelow, batch: Path, named: tuple[str, _Planned]) -> _Mask:
    """Write the mask of a photo into the batch."""
    photo_id, photo = named
    target = f"masks/{safe_name(photo_id)}.png"
    try:
        with Image.open(io.BytesIO(images.find(photo.mask).read_bytes())) as image:
            person = np.asarray(image.convert("L")) >= 128
    except (ThreadlineError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _Mask("", str(error))
    write_mask(batch / target, person)
    return _Mask(target)


def _account(
    photos: Iterable[tuple[str, _Planned]], masks: Iterable[_Mask], file: str, report: ImportReport
) -> dict[str, str]:
    """The paths of the masks by photo; in the report those that could not be read."""
    paths = {}
    for (photo_id, photo), mask in zip(photos, masks, strict=True):
        if mask.problem:
            detail = f"{photo.mask}: {mask.problem}"
            report.leave_out("the mask cannot be read (the photo is taken without it)", file, photo.listed.line, detail)
        else:
            paths[photo_id] = mask.path
    return paths
