"""A sheet of the pictures that a steward should look at, with the reason under each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from contracts.files import replacing
from contracts.images import UnreadableImage, fit, read
from orchestration.expectations.picture_facts import file_in
from orchestration.expectations.verdict import RowProblem

COLUMNS, MOST = 5, 60
CELL, PICTURE, GAP = (250, 200), (160, 180), 10
"""(height, width) in pixels of a cell and of the picture in it; the gap around both."""

_FAILED, _WARNED, _QUIET = (176, 32, 32), (150, 96, 0), (90, 90, 90)
_LETTERS, _LINES, _LINE_PX = 30, 5, 14


def write_contact_sheet(path: Path, root: Path, problems: Sequence[RowProblem]) -> int:
    """Write the sheet as a PNG: the first `MOST` pictures with a problem, failures before warnings.

    Returns how many pictures have a problem; with none, no file is written.
    """
    pictures: dict[tuple[str, str], list[RowProblem]] = {}
    for problem in sorted(problems, key=lambda one: one.warning):
        if problem.image:
            pictures.setdefault((problem.id, problem.image), []).append(problem)
    if not pictures:
        return 0
    shown = list(pictures.items())[:MOST]
    rows = -(-len(shown) // COLUMNS)
    size = (COLUMNS * (CELL[1] + GAP) + GAP, rows * (CELL[0] + GAP) + GAP + 24)
    sheet = Image.new("RGB", size, (255, 255, 255))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    draw.text((GAP, 6), f"{len(shown):,} of {len(pictures):,} pictures with a problem", _QUIET, font=font)
    for number, ((key, image), found) in enumerate(shown):
        left = GAP + number % COLUMNS * (CELL[1] + GAP)
        top = 24 + GAP + number // COLUMNS * (CELL[0] + GAP)
        sheet.paste(_thumbnail(root, image), (left + (CELL[1] - PICTURE[1]) // 2, top))
        _caption(draw, font, left, top + PICTURE[0] + 4, key, found)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return len(pictures)


def _thumbnail(root: Path, image: str) -> Image.Image:
    try:
        return Image.fromarray(fit(read(file_in(root, image), at_least=PICTURE), PICTURE))
    except UnreadableImage:
        empty = Image.new("RGB", (PICTURE[1], PICTURE[0]), (228, 228, 228))
        draw = ImageDraw.Draw(empty)
        draw.line((0, 0, *empty.size), (190, 190, 190), width=2)
        draw.line((0, empty.height, empty.width, 0), (190, 190, 190), width=2)
        return empty


def _caption(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    left: int,
    top: int,
    key: str,
    problems: Sequence[RowProblem],
) -> None:
    draw.text((left, top), textwrap.shorten(key or "(no id)", _LETTERS, placeholder="…"), _QUIET, font=font)
    lines = [
        (line, _WARNED if one.warning else _FAILED)
        for one in problems
        for line in textwrap.wrap(one.reason, _LETTERS, break_long_words=True)
    ]
    for number, (line, colour) in enumerate(lines[:_LINES], 1):
        draw.text((left, top + number * _LINE_PX), line, colour, font=font)
