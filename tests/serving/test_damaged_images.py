"""Whatever bytes come as a photo: an answer or a refusal in words, never a failure, and soon."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from contracts.images import ImageLimits, Size
from serving.photos import decode_photo
from serving.problems import Problem

LIMITS = ImageLimits(bytes=1_000_000, pixels=1_000_000)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *(["AVIF"] if features.check("avif") else []))
SOON_S = 10.0


def encoded(kind: str) -> bytes:
    random = np.random.default_rng(7)
    image = Image.fromarray(random.integers(0, 255, (60, 80, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
    return buffer.getvalue()


WHOLE = {kind: encoded(kind) for kind in FORMATS}


def decoded_or_refused(data: bytes) -> None:
    start = time.monotonic()
    try:
        picture = decode_photo(data, LIMITS, (64, 64))
    except Problem as problem:
        assert problem.status_code in (413, 415, 422) and problem.detail
    else:
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert picture.shape[0] * picture.shape[1] <= LIMITS.pixels
    assert time.monotonic() - start < SOON_S


@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_image_is_decoded(kind: str) -> None:
    height, width = decode_photo(WHOLE[kind], LIMITS, (80, 80)).shape[:2]
    assert {height, width} == {60, 80}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [(1440, 1080), (1080, 1440)])
def test_a_large_photo_is_decoded_at_the_scale_it_is_fitted_from(size: Size, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    buffer = io.BytesIO()
    Image.new("RGB", size[::-1], (9, 99, 199)).save(buffer, format="JPEG", exif=exif)
    upright = size[::-1] if turned else size
    picture = decode_photo(buffer.getvalue(), ImageLimits(), (640, 448))
    halves = {(1440, 1080): (720, 540), (1080, 1440): (540, 720)}
    assert picture.shape[:2] == halves[upright]


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_damaged_images(kind: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(whole) - 1, data.draw(st.sampled_from([40, 400, 100_000])))))
        whole[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.none(), st.integers(0, len(whole))))
    decoded_or_refused(bytes(whole[:end]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([data[:24] for data in WHOLE.values()] + [b""]), st.binary(max_size=2000))
def test_the_beginning_of_an_image_and_then_anything(start: bytes, rest: bytes) -> None:
    decoded_or_refused(start + rest)
