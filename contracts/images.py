"""Pictures: from bytes to RGB arrays, the same way in training and in serving."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Picture = NDArray[np.uint8]
"""A picture: (H, W, 3) uint8, RGB."""

Size = tuple[int, int]
"""(height, width) in pixels."""

WHITE = 255
ACCEPTED_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""The formats that are opened; what Pillow calls MPO, a JPEG with further pictures behind it, comes as JPEG."""


class UnreadableImage(ValueError):  # noqa: N818 - read as a sentence: "raises UnreadableImage"
    """The bytes are no picture that can be used; the message says why, in words for a person."""


@dataclass(frozen=True)
class ImageLimits:
    """What is accepted from outside."""

    bytes: int = 20_000_000
    pixels: int = 50_000_000
    smallest_side_px: int = 16


def decode(
    data: bytes, *, at_least: Size | None = None, fit_into: Size | None = None, limits: ImageLimits | None = None
) -> Picture:
    """Decode an encoded picture to (H, W, 3) uint8 RGB, upright.

    The EXIF orientation is applied; CMYK, grey, palette and 16-bit pictures are converted; transparency
    becomes white. `at_least` (height, width) lets a JPEG be decoded at a smaller scale that is still at
    least this large (several times faster), `fit_into` at one from which `fit` into that size still
    scales down; without either the full resolution is returned.

    Raises UnreadableImage when the bytes are empty, no picture, truncated, animated, or beyond `limits`.
    """
    limits = limits or ImageLimits()
    if not data:
        raise UnreadableImage("the file is empty")
    if len(data) > limits.bytes:
        raise UnreadableImage(f"{len(data):,} bytes are more than the {limits.bytes:,} accepted")
    try:
        with Image.open(io.BytesIO(data), formats=ACCEPTED_FORMATS) as image:
            _read_exif(image)
            check_within(image, limits)
            if fit_into is not None:
                at_least = fitted_box(_upright_size(image), fit_into)[2:]
            if at_least is not None:
                image.draft("RGB", _draft_size(image, at_least))
            return np.asarray(upright_rgb(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not a picture in a known format") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("the picture unpacks to far too many pixels") from error
    except Exception as error:  # a damaged file leads Pillow's readers into errors of any kind
        raise UnreadableImage(f"damaged or truncated ({error})") from error


def read(
    path: Path, *, at_least: Size | None = None, fit_into: Size | None = None, limits: ImageLimits | None = None
) -> Picture:
    """`decode` for a file. Raises UnreadableImage naming the path."""
    try:
        return decode(path.read_bytes(), at_least=at_least, fit_into=fit_into, limits=limits)
    except OSError as error:
        raise UnreadableImage(f"{path}: cannot be read ({error.strerror})") from error
    except UnreadableImage as error:
        raise UnreadableImage(f"{path}: {error}") from error


def size_of(data: bytes) -> Size:
    """The upright (height, width) of an encoded picture, from its header alone. Raises UnreadableImage."""
    try:
        with Image.open(io.BytesIO(data), formats=ACCEPTED_FORMATS) as image:
            _read_exif(image)
            return _upright_size(image)
    except Image.DecompressionBombError as error:
        raise UnreadableImage("the picture unpacks to far too many pixels") from error
    except Exception as error:  # a damaged file leads Pillow's readers into errors of any kind
        raise UnreadableImage("not a picture in a known format") from error


def fit(picture: Picture, size: Size) -> Picture:
    """Scale `picture` to fit inside `size` (height, width), aspect kept, centred on white.

    Returns (size[0], size[1], 3) uint8. This is the only resizing that networks ever see.
    """
    top, left, height, width = fitted_box(picture.shape[:2], size)
    canvas = np.full((*size, 3), WHITE, dtype=np.uint8)
    scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    canvas[top : top + height, left : left + width] = np.asarray(scaled)
    return canvas


def fitted_box(shape: tuple[int, ...], size: Size) -> tuple[int, int, int, int]:
    """Where `fit` puts a picture of `shape` (height, width) inside `size`: (top, left, height, width)."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height = max(1, min(size[0], round(shape[0] * scale)))
    width = max(1, min(size[1], round(shape[1] * scale)))
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def encode_jpeg(picture: Picture, quality: int = 90) -> bytes:
    """`picture` as JPEG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def check_within(image: Image.Image, limits: ImageLimits) -> None:
    """Raise UnreadableImage where an opened `image` is too large, too small, or an animation; nothing is decoded."""
    width, height = image.size
    if width * height > limits.pixels:
        raise UnreadableImage(f"{width} x {height} pixels are more than the {limits.pixels:,} accepted")
    if min(width, height) < limits.smallest_side_px:
        raise UnreadableImage(f"{width} x {height} pixels: a side is under {limits.smallest_side_px}")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnreadableImage("an animation, not a picture")


def _draft_size(image: Image.Image, at_least: Size) -> tuple[int, int]:
    """The (width, height) for Pillow's draft mode, which sees the picture before it is turned upright."""
    height, width = at_least[::-1] if _lies_on_its_side(image) else at_least
    scale = max(height / image.height, width / image.width)
    return round(image.width * scale), round(image.height * scale)


def _read_exif(image: Image.Image) -> None:
    """Read the EXIF block now: one that is damaged counts as none from then on, and says nothing of the picture."""
    with suppress(Exception):  # Pillow's readers fail in many ways
        image.getexif()


def _upright_size(image: Image.Image) -> Size:
    return image.size if _lies_on_its_side(image) else (image.height, image.width)


def _lies_on_its_side(image: Image.Image) -> bool:
    return image.format != "TIFF" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # a TIFF's size is upright already


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened picture as `decode` gives it: turned upright, in RGB, white where it was transparent.

    Raises UnreadableImage for floating-point numbers.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise UnreadableImage("a picture of floating-point numbers, whose range is not known")
    if upright.mode.startswith("I;16") or upright.mode == "I":
        wide = np.clip(np.asarray(upright), 0, 65535) // 257
        return Image.fromarray(wide.astype(np.uint8)).convert("RGB")
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        with_alpha = upright.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, (WHITE, WHITE, WHITE, WHITE))
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return upright.convert("RGB")
