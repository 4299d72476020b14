"""Person masks: their file format, and what is done to a photo with one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.files import replacing
from contracts.images import WHITE, Picture, Size, UnreadableImage, fitted_box

Mask = NDArray[np.bool_]
"""A person mask: (H, W) bool, True on the person."""


def encode_mask(mask: Mask) -> bytes:
    """`mask` as a one-bit PNG."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def write_mask(path: Path, mask: Mask) -> None:
    """Write `mask` as a one-bit PNG in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(encode_mask(mask))


def read_mask(path: Path) -> Mask:
    """Read a mask: any grey or one-bit PNG, person where the value is at least half of the full range.

    Raises UnreadableImage naming the path.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("L")) >= 128
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImage(f"{path}: not a mask in PNG ({error})") from error


def resize_mask(mask: Mask, size: Size) -> Mask:
    """`mask` at `size` (height, width): person where that is at least half of what a pixel covers."""
    if mask.shape == size:
        return mask
    grey = Image.fromarray(mask).convert("L")
    return np.asarray(grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)) >= 128


def fit_mask(mask: Mask, size: Size) -> Mask:
    """`mask` placed as `contracts.images.fit` places its photo; background around it."""
    top, left, height, width = fitted_box(mask.shape, size)
    canvas = np.zeros(size, dtype=np.bool_)
    canvas[top : top + height, left : left + width] = resize_mask(mask, (height, width))
    return canvas


def whiten(picture: Picture, mask: Mask) -> Picture:
    """`picture` (H, W, 3) with everything off the `mask` (H, W) painted white."""
    height, width = mask.shape
    painted = Image.new("RGB", (width, height), (WHITE, WHITE, WHITE))
    painted.paste(Image.fromarray(picture), mask=Image.fromarray(mask))  # ten times faster than numpy's choosing
    return np.asarray(painted)


def person_box(mask: Mask, margin: float = 0.03) -> tuple[int, int, int, int]:
    """The box (top, left, bottom, right) around the `mask`, widened by `margin` of its sides.

    An empty mask gives the whole picture: a photo in which nobody was found is searched as it is.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    if rows.size == 0:
        return 0, 0, height, width
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    down, across = round(margin * (bottom - top)), round(margin * (right - left))
    return (
        max(0, int(top) - down),
        max(0, int(left) - across),
        min(height, int(bottom) + down),
        min(width, int(right) + across),
    )


def segmented(picture: Picture, mask: Mask) -> Picture:
    """The person alone: background white, cropped to the person (the input of Fashion2Shop).

    Where the mask is empty the picture is returned as it is.
    """
    if not mask.any():
        return picture
    top, left, bottom, right = person_box(mask)
    return whiten(picture[top:bottom, left:right], mask[top:bottom, left:right])
