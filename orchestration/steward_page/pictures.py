"""The pictures of a batch, wherever it lies: small, upright, and encoded by this process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw

from contracts.batches import Kind
from contracts.images import Size, UnreadableImage, encode_jpeg, fit, read
from orchestration.expectations.picture_facts import file_in
from orchestration.places import Places

SIZE: Size = (320, 240)
"""(height, width) in pixels of what is sent; twice what is shown, for screens that are dense."""


def thumbnail(places: Places, kind: Kind, batch: str, image: str) -> bytes:
    """The picture `image` (a path inside the batch) as JPEG; a crossed-out sheet as PNG where there is none to show.

    Paths that leave the batch, and links, are no pictures.
    """
    for root in _roots(places, kind, batch):
        try:
            return encode_jpeg(fit(read(file_in(root, image), at_least=SIZE), SIZE), quality=85)
        except UnreadableImage:
            continue
    return _crossed_out()


def _roots(places: Places, kind: Kind, batch: str) -> Iterator[Path]:
    """Where the files of a batch may lie; what waits under the name of an accepted batch is another one, and last."""
    yield places.set_aside(kind, batch)
    yield places.accepted(kind, batch)
    yield places.delivered(kind, batch)
    yield places.rejected / kind / batch / "batch"


@cache
def _crossed_out() -> bytes:
    sheet = Image.new("RGB", (SIZE[1], SIZE[0]), (236, 236, 236))
    draw = ImageDraw.Draw(sheet)
    draw.line((0, 0, *sheet.size), (200, 200, 200), width=3)
    draw.line((0, sheet.height, sheet.width, 0), (200, 200, 200), width=3)
    encoded = io.BytesIO()
    sheet.save(encoded, format="PNG")
    return encoded.getvalue()
