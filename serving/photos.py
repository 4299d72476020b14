"""Uploaded photos, and the image files of articles: what comes in from outside, and what may go out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import UploadFile
from PIL import Image, UnidentifiedImageError

from contracts.images import ImageLimits, Picture, Size, UnreadableImage, decode, encode_jpeg, size_of
from serving.problems import Problem

IMAGE_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
}
"""The files that are handed out as images, and what they are called."""


async def read_upload(upload: UploadFile, limit: int) -> bytes:
    """The bytes of `upload`, reading no more than `limit` + 1 of them. Raises Problem 413 when there are more."""
    data = await upload.read(limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> Problem:
    """The refusal of a photo of more than `limit` bytes."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"a photo may have {limit:,} bytes at most")


def decode_photo(data: bytes, limits: ImageLimits, at_least: Size) -> Picture:
    """The (H, W, 3) uint8 picture of an upload, at a scale of at least `at_least` (height, width).

    Raises Problem 413 for too many pixels, 415 for what is no picture, 422 for one that cannot be used.
    """
    try:
        return decode(data, at_least=at_least, limits=limits)
    except UnreadableImage as error:
        raise _refusal(error, data, limits) from error


def article_image(data: Path, payload: Mapping[str, Any]) -> Path | None:
    """The image file of an article, whose payload names it relative to the directory `data`.

    None when there is none, it is no image, or the path leaves `data` (also by a link).
    """
    named = payload.get("image")
    if not isinstance(named, str) or not named or Path(named).suffix.lower() not in IMAGE_TYPES:
        return None
    root = data.resolve()
    path = (root / named).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def data_url(picture: Picture, longest_px: int = 480) -> str:
    """`picture` as a small JPEG in a `data:` URL, its longer side at most `longest_px`."""
    step = max(1, -(-max(picture.shape[:2]) // longest_px))
    encoded = base64.b64encode(encode_jpeg(picture[::step, ::step], quality=85)).decode("ascii")
    return f"data:image/jpeg;base64,{encoded}"


def _refusal(error: UnreadableImage, data: bytes, limits: ImageLimits) -> Problem:
    if isinstance(error.__cause__, UnidentifiedImageError) or not data:
        return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-an-image", str(error))
    if isinstance(error.__cause__, Image.DecompressionBombError) or _has_too_many_pixels(data, limits):
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-many-pixels", str(error))
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unusable-image", str(error))


def _has_too_many_pixels(data: bytes, limits: ImageLimits) -> bool:
    try:
        height, width = size_of(data)
    except UnreadableImage:
        return False
    return height * width > limits.pixels
