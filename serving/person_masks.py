"""From what a segmenter says of a photo to the mask of its people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.images import Size, fitted_box
from contracts.masks import Mask, person_box

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels of a photo; the last two are exclusive."""

LEAST = 0.1
"""The least size of a piece of a mask, as a share of the largest one: two people stay, a speck does not."""

FAR = 0.6
"""Somebody is far away who takes less than this share of both sides of the segmenter's picture."""

_ROOM = 0.2


def mask_of(probability: NDArray[np.float32], shape: Size) -> Mask:
    """The mask of a photo of `shape` (height, width) from the person probability of its fitted picture.

    `probability` is (h, w) in [0, 1]. What `fit` added around the photo is cut off, specks are taken out, and the rest
    is scaled bilinearly to the photo's own resolution and cut at one half. In 8 bits, which is several times faster
    than in floats and moves the threshold by less than 0.002.
    """
    top, left, height, width = fitted_box(shape, probability.shape)
    inside = without_specks(probability[top : top + height, left : left + width])
    grey = Image.fromarray(np.rint(np.clip(inside, 0.0, 1.0) * 255).astype(np.uint8))
    return np.asarray(grey.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)) >= 128


def closer(mask: Mask, size: Size) -> Box | None:
    """Where to look again at somebody who is far away; None where nobody is.

    `mask` (H, W) is of a photo that was fitted into a picture of `size` (height, width): the box around it, with room.
    """
    top, left, bottom, right = box = person_box(mask, _ROOM)
    scale = min(size[0] / mask.shape[0], size[1] / mask.shape[1])
    is_far = (bottom - top) * scale < FAR * size[0] and (right - left) * scale < FAR * size[1]
    return box if is_far else None


def placed(mask: Mask, box: Box, shape: Size) -> Mask:
    """The `mask` of the part of a photo within `box` as one of the photo, whose `shape` is (height, width)."""
    whole = np.zeros(shape, dtype=np.bool_)
    whole[box[0] : box[2], box[1] : box[3]] = mask
    return whole


def without_specks(probability: NDArray[np.float32], least: float = LEAST) -> NDArray[np.float32]:
    """`probability` (h, w) in [0, 1], and 0 on every piece of at least one half that is smaller than `least`.

    A piece are pixels that hang together by their sides; its size is compared with that of the largest piece.
    """
    rows, starts, ends = _runs(probability >= 0.5)
    if len(rows) == 0:
        return probability
    piece = _pieces(rows, starts, ends, probability.shape[1])
    sizes = np.bincount(piece, weights=ends - starts)[piece]
    small = np.flatnonzero(sizes < least * sizes.max())
    if len(small) == 0:
        return probability
    cleaned = probability.copy()
    for run in small:
        cleaned[rows[run], starts[run] : ends[run]] = 0
    return cleaned


def _runs(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The runs of True in the rows of `inside` (h, w), in reading order: their rows, starts, and ends (exclusive)."""
    steps = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]


def _pieces(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """For each run the first run of the piece that it belongs to."""
    stride = width + 1  # a run never touches the next row's
    below = (rows + 1) * stride
    first = np.searchsorted(rows * stride + ends, below + starts, side="right")
    last = np.searchsorted(rows * stride + starts, below + ends, side="left")
    count = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(rows)), count)
    lower = np.repeat(first, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    piece = np.arange(len(rows))
    while True:
        least = np.minimum(piece[upper], piece[lower])
        merged = piece.copy()
        np.minimum.at(merged, piece[upper], least)  # the piece follows its run
        np.minimum.at(merged, piece[lower], least)
        merged = merged[merged]
        merged = merged[merged]
        if np.array_equal(merged[piece], piece):
            return piece
        piece = merged[piece]
