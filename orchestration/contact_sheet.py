"""Contact sheets: the query, its segmentation, the articles found, the right ones framed in green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from contracts.files import replacing
from contracts.images import Picture, Size, fit

_TILE: Size = (168, 126)
_GAP = 8
_CAPTION = 16
_GREEN, _GREY, _INK = (24, 150, 70), (214, 214, 214), (40, 40, 40)


@dataclass(frozen=True)
class Found:
    """An article in a row of the sheet; `right` is None where nobody knows."""

    picture: Picture
    caption: str
    right: bool | None = None


@dataclass(frozen=True)
class SheetRow:
    """A query with its segmentation (None where the package does not segment) and what was found, best first."""

    query: Picture
    segmented: Picture | None
    found: Sequence[Found]
    caption: str = "query"


def draw_sheet(rows: Sequence[SheetRow]) -> Picture:
    """The sheet as (H, W, 3) uint8, a line a row."""
    columns = 2 + max((len(row.found) for row in rows), default=0)
    height, width = _TILE[0] + _CAPTION + _GAP, _TILE[1] + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, len(rows) * height + _GAP), "white")
    for line, row in enumerate(rows):
        top = _GAP + line * height
        _place(sheet, row.query, row.caption, (top, _GAP), _GREY)
        if row.segmented is not None:
            _place(sheet, row.segmented, "segmented", (top, _GAP + width), _GREY)
        for column, found in enumerate(row.found, start=2):
            frame = _GREEN if found.right else _GREY
            _place(sheet, found.picture, found.caption, (top, _GAP + column * width), frame, 4 if found.right else 1)
    return np.asarray(sheet)


def write_sheet(path: Path, rows: Sequence[SheetRow]) -> None:
    """Draw the sheet and write it as PNG in one step."""
    with replacing(path) as temporary:
        Image.fromarray(draw_sheet(rows)).save(temporary, format="PNG")


def _place(
    sheet: Image.Image,
    picture: Picture,
    caption: str,
    at: tuple[int, int],
    frame: tuple[int, int, int],
    thickness: int = 1,
) -> None:
    top, left = at
    sheet.paste(Image.fromarray(fit(picture, _TILE)), (left, top))
    draw = ImageDraw.Draw(sheet)
    box = (left - 1, top - 1, left + _TILE[1], top + _TILE[0])
    draw.rectangle(box, outline=frame, width=thickness)
    draw.text((left, top + _TILE[0] + 2), caption[:22], fill=_INK, font=ImageFont.load_default(11))
