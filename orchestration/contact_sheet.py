"""Contact sheets: the query, its segmentation, the articles found, the right ones framed in green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from contracts.files import replacing
from contracts.images import Picture, Size, fit
from contracts.masks import Mask

TILE: Size = (168, 126)
SMALL_TILE: Size = (96, 72)

_PER_LINE = 10
_GAP = 8
_CAPTION = 16
_LETTER_PX = 6
_GREEN, _GREY, _INK = (24, 150, 70), (214, 214, 214), (40, 40, 40)


@dataclass(frozen=True)
class Found:
    """An article in a row of the sheet; `right` is None where nobody knows."""

    picture: Picture
    caption: str
    right: bool | None = None


@dataclass(frozen=True)
class SheetRow:
    """A query with its segmentation (None where the package does not segment) and what was found, best first.

    `mask` is shown beside the query where it is given.
    """

    query: Picture
    segmented: Picture | None
    found: Sequence[Found]
    caption: str = "query"
    mask: Mask | None = None


def draw_sheet(rows: Sequence[SheetRow], tile: Size = TILE) -> Picture:
    """The sheet as (H, W, 3) uint8: a row takes one line, or several where more than ten articles were found.

    `tile` is the (height, width) of a picture in pixels.
    """
    heads = [_head(row) for row in rows]
    beside = max(map(len, heads), default=1)
    columns = beside + min(_PER_LINE, max((len(row.found) for row in rows), default=0))
    height, width = tile[0] + _CAPTION + _GAP, tile[1] + _GAP
    lines = [max(1, -(-len(row.found) // _PER_LINE)) for row in rows]
    sheet = Image.new("RGB", (columns * width + _GAP, sum(lines) * height + _GAP), "white")
    for row, head, line in zip(rows, heads, np.cumsum([0, *lines[:-1]]).tolist(), strict=True):
        top = _GAP + line * height
        for column, (picture, caption) in enumerate(head):
            _place(sheet, picture, caption, (top, _GAP + column * width), tile, _GREY)
        for place, found in enumerate(row.found):
            down, across = divmod(place, _PER_LINE)
            at = (top + down * height, _GAP + (beside + across) * width)
            frame, thickness = (_GREEN, 4) if found.right else (_GREY, 1)
            _place(sheet, found.picture, found.caption, at, tile, frame, thickness)
    return np.asarray(sheet)


def write_sheet(path: Path, rows: Sequence[SheetRow], tile: Size = TILE) -> None:
    """Draw the sheet and write it as PNG in one step."""
    with replacing(path) as temporary:
        # photos hardly shrink further, and the default level takes several times as long
        Image.fromarray(draw_sheet(rows, tile)).save(temporary, format="PNG", compress_level=1)


def _head(row: SheetRow) -> list[tuple[Picture, str]]:
    """The pictures before those that were found, with their captions."""
    head = [(row.query, row.caption)]
    if row.mask is not None:
        head.append((np.repeat(np.where(row.mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2), "mask"))
    if row.segmented is not None:
        head.append((row.segmented, "segmented"))
    return head


def _place(
    sheet: Image.Image,
    picture: Picture,
    caption: str,
    at: tuple[int, int],
    tile: Size,
    frame: tuple[int, int, int],
    thickness: int = 1,
) -> None:
    top, left = at
    sheet.paste(Image.fromarray(fit(picture, tile)), (left, top))
    draw = ImageDraw.Draw(sheet)
    box = (left - 1, top - 1, left + tile[1], top + tile[0])
    draw.rectangle(box, outline=frame, width=thickness)
    text = caption[: tile[1] // _LETTER_PX + 1]
    draw.text((left, top + tile[0] + 2), text, fill=_INK, font=ImageFont.load_default(11))
