"""Uploaded photos: what comes in from outside."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

import numpy as np
from fastapi import UploadFile
from PIL import Image, ImageOps, UnidentifiedImageError, features

from contracts.images import (
    ACCEPTED_FORMATS,
    ImageLimits,
    Picture,
    Size,
    UnreadableImage,
    check_within,
    decode,
    fitted_box,
    upright_rgb,
)
from contracts.masks import Mask
from serving.problems import Problem
from serving.stages import DeadlinePassed

_FORMATS = (*ACCEPTED_FORMATS, *(("AVIF",) if features.check("avif") else ()))
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
_BRANDS_BYTES = 256
"""How much of the first box is looked at for brands: some tens of them."""
_SCANS = 100
"""Scans that a JPEG may have. A progressive one has about ten; one made to keep a reader busy has thousands."""
_SEGMENTS = 2_000
"""Segments that a JPEG may have, scans among them. Those of an ordinary one are some tens, most of them large."""

_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
"""Not what stands within a scan (FF 00, restarts), nor what begins no segment."""

_OVERLAY_PX = 480
_BLOCK_BYTES = 64 * 2**20
"""What Pillow asks the system for at once: more than glibc ever keeps for a thread's next request (32 MiB)."""


class PixelBudget:
    """Lets so many photos decode at once as have `pixels` together, first come, first served; a larger one alone.

    A few bytes may unpack to all the pixels that a photo may have: what decoding holds must not grow with the threads.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = self._free = pixels
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def room_for(self, pixels: int, wait_s: float | None) -> Iterator[None]:
        """Wait until a photo of `pixels` has room, and keep that for the block.

        Raises DeadlinePassed after `wait_s`; None: whenever there is room.
        """
        taken, place = min(pixels, self._pixels), object()
        with self._changed:
            self._line.append(place)
            try:
                if not self._changed.wait_for(lambda: self._line[0] is place and taken <= self._free, wait_s):
                    raise DeadlinePassed
                self._free -= taken
            finally:
                self._line.remove(place)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()


def return_memory_of_photos() -> None:
    """Let this process give a decoded photo's memory back at once.

    In Pillow's own blocks of 16 MiB each thread would keep some 200 MB of the largest photo that it ever decoded.
    """
    Image.core.set_block_size(_BLOCK_BYTES)  # type: ignore[attr-defined]


async def read_upload(upload: UploadFile, limit: int) -> bytes:
    """The bytes of `upload`, reading no more than `limit` + 1 of them. Raises Problem 413 when there are more."""
    data = await upload.read(limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> Problem:
    """The refusal of a photo of more than `limit` bytes."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"a photo may have {limit:,} bytes at most")


def not_an_image(detail: str) -> Problem:
    """The refusal of what is in no format that is read."""
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-an-image", detail)


def decode_photo(data: bytes, limits: ImageLimits, fit_into: Size) -> Picture:
    """The (H, W, 3) uint8 picture of an upload, at no smaller a scale than `fit` into `fit_into` (height, width) takes.

    And at no much larger one: what follows needs memory for that size, not for the photo's.

    Raises Problem 413 for too many pixels, 415 for what is no picture, 422 for one that cannot be used.
    """
    if _is_heic(data):
        detail = "HEIC photos cannot be read here; save it as JPEG, or set the camera to 'most compatible'"
        raise not_an_image(detail)
    try:
        if data[:2] != b"\xff\xd8":
            return _decode_reduced(data, limits, fit_into)
        if _keeps_busy(data):
            raise UnreadableImage(f"a JPEG of more than {_SCANS} scans, or {_SEGMENTS:,} segments")
        return decode(data, fit_into=fit_into, limits=limits)
    except UnreadableImage as error:
        raise _refusal(error, data, limits) from error


def pixels_of(data: bytes) -> int:
    """How many pixels an upload has, by its header; 0 where it is no picture, or says far too many."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.width * image.height
    except Exception:  # a damaged file leads Pillow's readers into errors of any kind
        return 0


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


def _is_heic(data: bytes) -> bool:
    """Whether this is HEIF, but not AVIF. Both may begin as "mif1"; their further brands say what they are."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), len(data), _BRANDS_BYTES)
    brands = {data[at : at + 4] for at in (8, *range(16, end, 4))}
    return bool(brands & _HEIC_BRANDS) and not brands & _AVIF_BRANDS


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


def _decode_reduced(data: bytes, limits: ImageLimits, fit_into: Size) -> Picture:
    """A picture that is no JPEG, reduced before anything else is made of it. Raises UnreadableImage."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            check_within(image, limits)
            with suppress(Exception):  # a damaged EXIF block counts as none from then on
                image.getexif()
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(upright_rgb(_reduced(image, fit_into)))
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not a picture in a known format") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("the picture unpacks to far too many pixels") from error
    except Exception as error:  # a damaged file leads Pillow's readers into errors of any kind
        raise UnreadableImage(f"damaged or truncated ({error})") from error


def _reduced(upright: Image.Image, fit_into: Size) -> Image.Image:
    """A picture at the least whole part of its size that still covers what `fit` into `fit_into` takes."""
    _, _, height, width = fitted_box((upright.height, upright.width), fit_into)
    factor = min(upright.height // height, upright.width // width)
    if factor < 2:
        return upright
    mode = upright.mode  # reduced in it, or in one that can be averaged
    if mode == "PA" or "transparency" in upright.info:
        mode = "RGBA"
    elif mode in ("1", "P"):
        mode = "RGB"
    elif mode.startswith("I;16"):
        mode = "I"
    return (upright if mode == upright.mode else upright.convert(mode)).reduce(factor)


def _refusal(error: UnreadableImage, data: bytes, limits: ImageLimits) -> Problem:
    if isinstance(error.__cause__, UnidentifiedImageError):
        return not_an_image(str(error))
    if isinstance(error.__cause__, Image.DecompressionBombError) or pixels_of(data) > limits.pixels:
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-many-pixels", str(error))
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unusable-image", str(error))
