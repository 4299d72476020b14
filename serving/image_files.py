"""The image files of articles and samples: what may go out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""The files that are handed out as images, and what they are called."""


def article_images(data: Path, payload: Mapping[str, Any]) -> list[Path]:
    """The files of an article's images that are there, whose payload names them relative to the directory `data`.

    Whatever they are called: reading one shows whether it is an image.
    """
    named = payload.get("images") or [payload.get("image")]
    return [path for name in named if (path := _file_within(data, name)) is not None]


def image_file(data: Path, named: object) -> Path | None:
    """The image file `named` below the directory `data`.

    None when there is none, it is no image, or the path leaves `data` (also by a link).
    """
    path = _file_within(data, named)
    return path if path is not None and path.suffix.lower() in IMAGE_TYPES else None


def _file_within(data: Path, named: object) -> Path | None:
    if not isinstance(named, str) or not named:
        return None
    root = data.resolve()
    path = (root / named).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None
