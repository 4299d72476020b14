"""A directory of photos with a CSV that says which articles each shows."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from contracts.batches import Pair, Photo, write_street_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.images import UnreadableImage
from contracts.masks import write_mask
from contracts.vocabulary import DOMAINS
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.folder import PHOTOS_TABLE, find_image
from orchestration.sources.pictures import copy_picture, directory, safe_name
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row, read_csv


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
    rows = read_csv(table or path / PHOTOS_TABLE, ["photo"])
    report = ImportReport("folder")
    photos: dict[str, Photo] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    with new_directory(into) as batch:
        for done, row in enumerate(rows.rows, 1):
            photo_id = _take(path, batch, rows.path.name, row, photos, report, limit)
            article_id = row.values.get("article_id")
            if photo_id is not None and article_id:
                pairs[(photo_id, article_id)] = Pair(photo_id, article_id)
            progress("copying photos", done, len(rows.rows))
        report.require(len(photos), path)
        write_street_batch(batch, list(photos.values()), list(pairs.values()))
    masks = sum(photo.mask is not None for photo in photos.values())
    report.taken.update(photos=len(photos), masks=masks, pairs=len(pairs))
    return report


def _take(
    path: Path, batch: Path, file: str, row: Row, photos: dict[str, Photo], report: ImportReport, limit: int | None
) -> str | None:
    """Copy the row's photo, unless an earlier row did, and return its id; None where it was left out."""
    given = row.values["photo"]
    domain = row.values.get("domain", "").lower() or "street"
    photo_id = Path(given.replace("\\", "/")).stem
    if row.ragged or not given or domain not in DOMAINS:
        report.leave_out("the row names no photo, another domain, or has too many fields", file, row.line, given)
        return None
    if photo_id in photos:
        return photo_id
    if limit is not None and len(photos) >= limit:
        return None
    try:
        source = find_image(path, given)
        copied = copy_picture(source, batch, safe_name(photo_id))
    except FileNotFoundError:
        report.leave_out("the photo is missing", file, row.line, given)
        return None
    except (ThreadlineError, UnreadableImage, OSError, ValueError) as error:
        report.leave_out("the photo cannot be read", file, row.line, f"{given}: {error}")
        return None
    photo = Photo(photo_id, domain=domain, image=copied.path, sha256=copied.sha256)
    photos[photo_id] = _with_mask(path, batch, file, row, photo, report)
    return photo_id


def _with_mask(path: Path, batch: Path, file: str, row: Row, photo: Photo, report: ImportReport) -> Photo:
    given = row.values.get("mask")
    if not given:
        return photo
    target = f"masks/{safe_name(photo.photo_id)}.png"
    try:
        with Image.open(io.BytesIO(find_image(path, given).read_bytes())) as image:
            write_mask(batch / target, np.asarray(image.convert("L")) >= 128)
    except (ThreadlineError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        report.leave_out("the mask cannot be read (the photo is taken without it)", file, row.line, f"{given}: {error}")
        return photo
    return replace(photo, mask=target)
