"""Clothing Co-Parsing (Yang et al. 2014): street photos, of which some have every pixel labelled and the others tags.

photos/NNNN.jpg
annotations/pixel-level/NNNN.mat    `groundtruth`: (H, W), the label of every pixel; 0 is the background
annotations/image-level/NNNN.mat    `tags`: the labels that occur
label_list.mat                      `label_list`: the names of the labels
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.parsed_photos import LabelMap, Labels, deliver_parsed_photos, names_of
from orchestration.sources.pictures import directory
from orchestration.sources.report import ImportReport

LABELS = "label_list.mat"


def deliver_clothing_co_parsing(
    path: Path, into: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn Clothing Co-Parsing into a street batch at `into`, with masks and the categories worn.

    A photo without pixel labels is taken without a mask, one without tags or labels without what is worn. At most
    `limit` photos are taken, in the order of their names. Raises ThreadlineError when there are no photos; a photo or
    a label map that cannot be used is left out and reported.
    """
    photos = directory(path / "photos", "photos/ and annotations/")
    report = ImportReport("clothing-co-parsing")
    names = _read_names(path, report)
    annotations = path / "annotations"

    def read_labels(photo: Path) -> Labels | None:
        pixels, tags = (annotations / level / f"{photo.stem}.mat" for level in ("pixel-level", "image-level"))
        if pixels.exists():
            labels = read_label_map(pixels)
            return Labels(labels, names_of(labels, names))
        if tags.exists():
            return Labels(None, names_of(_read(tags, "tags"), names))
        return None

    return deliver_parsed_photos(photos, read_labels, into, report, progress, limit=limit)


def read_label_map(path: Path) -> LabelMap:
    """The label of every pixel, (H, W), of a pixel-level annotation. Raises ValueError."""
    truth: LabelMap = _read(path, "groundtruth")
    if truth.ndim != 2:
        raise ValueError(f"'groundtruth' of {path.name} has {truth.ndim} dimensions, not 2")
    return truth


def _read_names(path: Path, report: ImportReport) -> list[str]:
    try:
        return ["".join(one.ravel()) for one in _read(path / LABELS, "label_list", kind="O").ravel()]
    except ValueError as error:
        report.leave_out("what is worn is not known", LABELS, detail=str(error))
        return []


def _read(path: Path, name: str, kind: str = "iu") -> Any:
    """The array `name` of a MATLAB file, of a `kind` of dtype. Raises ValueError."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=[name])[name]
    except KeyError as error:
        raise ValueError(f"{path.name} has no '{name}'") from error
    except Exception as error:  # of a damaged file SciPy raises whatever it runs into, zlib.error and IndexError too
        raise ValueError(f"{path.name} is not a MATLAB file ({error})") from error
    if found.dtype.kind not in kind:
        raise ValueError(f"'{name}' of {path.name} is of type {found.dtype}")
    return found
