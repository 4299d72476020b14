"""Clothing Co-Parsing (Yang et al. 2014): street photos, of which some have every pixel labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contracts.batches import Photo, write_street_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.images import UnreadableImage
from contracts.masks import Mask, write_mask
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.pictures import copy_picture, directory, safe_name
from orchestration.sources.report import ImportReport

BACKGROUND = 0
"""The index of the background in `label_list.mat`; every other label is on the person."""


def deliver_clothing_co_parsing(
    path: Path, into: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn the directory `path` (`photos/`, `annotations/pixel-level/`) into a street batch at `into`.

    A photo without pixel labels is taken without a mask. At most `limit` photos are taken, in the order of their
    names. Raises ThreadlineError when there are no photos; a photo or mask that cannot be used is left out and
    reported.
    """
    files = sorted(directory(path / "photos", "photos/ and annotations/").glob("*.jpg"))[:limit]
    if not files:
        raise ThreadlineError(f"{path / 'photos'} holds no photos", "give the directory with photos/ and annotations/")
    report = ImportReport("clothing-co-parsing")
    photos = []
    with new_directory(into) as batch:
        for done, file in enumerate(files, 1):
            try:
                copied = copy_picture(file, batch, safe_name(file.stem))
                mask = _take_mask(path / "annotations" / "pixel-level" / f"{file.stem}.mat", batch, report)
                photos.append(Photo(file.stem, image=copied.path, sha256=copied.sha256, mask=mask))
            except UnreadableImage as error:
                report.leave_out("the photo cannot be read", f"photos/{file.name}", detail=str(error))
            progress("copying photos", done, len(files))
        report.require(len(photos), path)
        write_street_batch(batch, photos, ())
    report.taken.update(photos=len(photos), masks=sum(photo.mask is not None for photo in photos))
    return report


def _take_mask(labels: Path, batch: Path, report: ImportReport) -> str | None:
    """Write the mask of a label map and return its path in the batch; None where there is no usable one."""
    if not labels.exists():
        return None
    try:
        mask = read_person(labels)
    except ValueError as error:
        report.leave_out(
            "the labels cannot be read (the photo is taken without a mask)", labels.name, detail=str(error)
        )
        return None
    path = f"masks/{safe_name(labels.stem)}.png"
    write_mask(batch / path, mask)
    return path


def read_person(labels: Path) -> Mask:
    """The person of a label map: (H, W) bool, True wherever the label is not the background. Raises ValueError."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        truth = loadmat(labels, variable_names=["groundtruth"])["groundtruth"]
    except KeyError as error:
        raise ValueError("it has no 'groundtruth'") from error
    except (OSError, TypeError, MatReadError, NotImplementedError) as error:
        raise ValueError(f"not a MATLAB file ({error})") from error
    if truth.ndim != 2:
        raise ValueError(f"'groundtruth' has {truth.ndim} dimensions, not 2")
    return np.asarray(truth != BACKGROUND)
