"""Uploaded photos: what comes in from outside."""

from __future__ import annotations

import base64
import io
import re
from http import HTTPStatus

import numpy as np
from fastapi import UploadFile
from PIL import Image, UnidentifiedImageError, features

from contracts.images import ImageLimits, Picture, Size, UnreadableImage, decode, size_of, upright_rgb
from contracts.masks import Mask
from serving.problems import Problem

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_SCANS = 100
"""Scans that a JPEG may have. A progressive one has about ten; one made to keep a reader busy has thousands."""
_SEGMENTS = 2_000
"""Segments that a JPEG may have, scans among them. Those of an ordinary one are some tens, most of them large."""

_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
"""Not what stands within a scan (FF 00, restarts), nor what begins no segment."""

_OVERLAY_PX = 480


async def read_upload(upload: UploadFile, limit: int) -> bytes:
    """The bytes of `upload`, reading no more than `limit` + 1 of them. Raises Problem 413 when there are more."""
    data = await upload.read(limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> Problem:
    """The refusal of a photo of more than `limit` bytes."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"a photo may have {limit:,} bytes at most")


def decode_photo(data: bytes, limits: ImageLimits, fit_into: Size) -> Picture:
    """The (H, W, 3) uint8 picture of an upload, at no smaller a scale than `fit` into `fit_into` (height, width) takes.

    Raises Problem 413 for too many pixels, 415 for what is no picture, 422 for one that cannot be used.
    """
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS:
        detail = "HEIC photos cannot be read here; save it as JPEG, or set the camera to 'most compatible'"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-an-image", detail)
    try:
        if brand in (b"avif", b"avis") and features.check("avif"):
            return _decode_avif(data, limits)
        if data[:2] == b"\xff\xd8" and _keeps_busy(data):
            raise UnreadableImage(f"a JPEG of more than {_SCANS} scans, or {_SEGMENTS:,} segments")
        return decode(data, fit_into=fit_into, limits=limits)
    except UnreadableImage as error:
        raise _refusal(error, data, limits) from error


def overlay(mask: Mask) -> str:
    """A PNG in a `data:` URL to lay over the photo of `mask` (H, W): white where nobody is, clear on the person.

    As the photo in proportion, its longer side 480 px at most.
    """
    step = max(1, -(-max(mask.shape) // _OVERLAY_PX))
    small = mask[::step, ::step]
    white = np.full((*small.shape, 2), 255, dtype=np.uint8)
    white[..., 1] = np.where(small, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(white, "LA").save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _keeps_busy(jpeg: bytes) -> bool:
    """Whether a JPEG has too many scans or segments. What follows its first image, like a phone's film, is not read."""
    scans, at = 0, 2
    for _ in range(_SEGMENTS):
        marker = _MARKER.search(jpeg, at)
        if marker is None or marker[1][0] == _END or scans > _SCANS:
            return scans > _SCANS
        scans += marker[1][0] == _SCAN
        length = int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        at = marker.end() + max(2, length)  # as libjpeg does with lengths that are too small
    return True


def _decode_avif(data: bytes, limits: ImageLimits) -> Picture:
    """An AVIF picture as `contracts.images.decode` gives others. Raises UnreadableImage."""
    try:
        with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
            if image.width * image.height > limits.pixels:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels are too many")
            if min(image.size) < limits.smallest_side_px or getattr(image, "is_animated", False):
                raise UnreadableImage("an animation, or too small a picture")
            return np.asarray(upright_rgb(image))
    except UnreadableImage:
        raise
    except Exception as error:  # a damaged file leads Pillow's readers into errors of any kind
        raise UnreadableImage(f"not a whole AVIF picture ({error})") from error


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
