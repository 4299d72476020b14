"""Pictures in Dagster's pages: small ones, inside the metadata itself, so that they outlive the files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
from PIL import Image

from contracts.images import Picture, encode_jpeg, read

WIDTH_PX = 640
_QUALITY = 80


def pictures(paths: Sequence[Path]) -> dg.MarkdownMetadataValue:
    """The pictures at these paths, one below the other, each under its name."""
    return dg.MetadataValue.md("\n\n".join(f"{path.stem}\n\n{_inline(read(path))}" for path in paths))


def side_by_side(rows: Sequence[Sequence[Picture]], height_px: int = 120) -> dg.MarkdownMetadataValue:
    """Rows of pictures, scaled to one height."""
    drawn = [np.concatenate([_scaled(one, height_px) for one in row], axis=1) for row in rows]
    return dg.MetadataValue.md("\n\n".join(_inline(row) for row in drawn))


def _inline(picture: Picture) -> str:
    if picture.shape[1] > WIDTH_PX:
        picture = _scaled(picture, round(picture.shape[0] * WIDTH_PX / picture.shape[1]))
    data = base64.b64encode(encode_jpeg(picture, _QUALITY)).decode()
    return f"![picture](data:image/jpeg;base64,{data})"


def _scaled(picture: Picture, height_px: int) -> Picture:
    width_px = max(1, round(picture.shape[1] * height_px / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width_px, height_px), Image.Resampling.BILINEAR))
