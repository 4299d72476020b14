"""Chictopia10k (Liang et al. 2015): street photos whose every pixel is labelled with one of 18 parts.

    JPEGImages/<name>.jpg               the photos
    SegmentationClassAug/<name>.png     the label of every pixel, one channel of indices; 0 is the background

Both may lie in `humanparsing/`, as the archive is packed. The names are short numbers, so ids begin with
`chictopia10k-`. There is no partition; sides are assigned by hash, as for every source.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from contracts.errors import ThreadlineError
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.parsed_photos import LabelMap, Labels, deliver_parsed_photos, names_of
from orchestration.sources.pictures import directory
from orchestration.sources.report import ImportReport

PHOTOS, LABEL_MAPS = "JPEGImages", "SegmentationClassAug"

PARTS = (
    *("background", "hat", "hair", "sunglasses", "upper-clothes", "skirt", "pants", "dress", "belt"),
    *("left-shoe", "right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "bag", "scarf"),
)
"""The names of the labels, in their order; of the eight categories they tell skirt, trousers and dress."""


def deliver_chictopia10k(
    path: Path, into: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn Chictopia10k into a street batch at `into`, with masks and what of the eight categories its labels tell.

    A photo whose label map is missing, cannot be read or is of another size is taken without a mask. At most `limit`
    photos are taken, in the order of their names. Raises ThreadlineError when there are no photos.
    """
    root = next((one for one in (path, path / "humanparsing") if (one / PHOTOS).is_dir()), None)
    if root is None:
        directory(path, f"{PHOTOS}/ and {LABEL_MAPS}/")
        raise ThreadlineError(f"{path} holds no {PHOTOS}/", f"give the directory with {PHOTOS}/ and {LABEL_MAPS}/")
    report = ImportReport("chictopia10k")
    label_maps = root / LABEL_MAPS

    def read_labels(photo: Path) -> Labels | None:
        labels = read_label_map(label_maps / f"{photo.stem}.png")
        return Labels(labels, names_of(labels, PARTS))

    return deliver_parsed_photos(
        root / PHOTOS, read_labels, into, report, progress, limit=limit, prefix="chictopia10k-"
    )


def read_label_map(path: Path) -> LabelMap:
    """The label of every pixel, (H, W) uint8, of a label map in PNG. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        with Image.open(path, formats=("PNG",)) as image:
            labels = np.asarray(image)
            mode = image.mode
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path.name} is not a PNG ({error})") from error
    if mode not in ("L", "P"):
        raise ValueError(f"{path.name} is a picture of mode {mode}, not of labels")
    return labels
