from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contracts.images import ImageLimits, UnreadableImage, decode, encode_jpeg, fit, fitted_box, read, size_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def header_of_a_bomb(height: int, width: int) -> bytes:
    """A PNG that claims (height, width) and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_a_damaged_exif_block_says_nothing_of_the_picture() -> None:
    plain = encoded(Image.new("RGB", (40, 30), (9, 99, 199)), "JPEG", dpi=(72, 72))
    block = b"\xff\xe1" + struct.pack(">H", 2 + 6 + 12) + b"Exif\x00\x00" + b"not TIFF at "
    damaged = plain[:2] + block + plain[2:]
    assert decode(damaged).shape == (30, 40, 3) and size_of(damaged) == (30, 40)


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_the_size_of_a_turned_tiff_is_that_of_its_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(30, 40), "TIFF", exif=exif)
    assert size_of(data) == decode(data).shape[:2]


def test_sixteen_bits_become_eight() -> None:
    wide = np.array([[0, 256, 257], [32896, 65534, 65535]], dtype=np.uint16).repeat(8, 0).repeat(8, 1)
    found = decode(encoded(Image.fromarray(wide), "PNG"))
    assert found[::8, ::8, 0].tolist() == [[0, 0, 1], [128, 254, 255]]


def test_lossless_pictures_come_back() -> None:
    image = noise(20, 30)
    for form, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        np.testing.assert_array_equal(decode(encoded(image, form, **options)), np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = (250, 0, 0)
    upright[16:, 24:] = (0, 250, 0)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(data), upright)
    assert size_of(data) == (32, 48)


@pytest.mark.parametrize(
    ("image", "form", "options", "colour"),
    [
        (Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", {}, (255, 0, 0)),
        (Image.new("L", (32, 32), 77), "PNG", {}, (77, 77, 77)),
        (Image.new("1", (32, 32), 1), "PNG", {}, (255, 255, 255)),
        (Image.fromarray(np.full((32, 32), 65535, np.uint16)), "PNG", {}, (255, 255, 255)),
        (Image.fromarray(np.full((32, 32), 257 * 40, np.uint16)), "PNG", {}, (40, 40, 40)),
        (Image.fromarray(np.full((32, 32), 257 * 40, np.uint16)), "TIFF", {}, (40, 40, 40)),
        (Image.new("L", (32, 32), 7), "PNG", {"transparency": 7}, (255, 255, 255)),
        (Image.new("RGB", (32, 32), (7, 8, 9)), "PNG", {"transparency": (7, 8, 9)}, (255, 255, 255)),
        (Image.new("RGBA", (32, 32), (255, 0, 0, 0)), "PNG", {}, (255, 255, 255)),
        (Image.new("RGBA", (32, 32), (0, 0, 0, 51)), "PNG", {}, (204, 204, 204)),
        (Image.new("LA", (32, 32), (0, 0)), "PNG", {}, (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(
    image: Image.Image, form: str, options: dict[str, Any], colour: tuple[int, int, int]
) -> None:
    picture = decode(encoded(image, form, **options))
    assert (picture.shape, picture.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_allclose(picture.reshape(-1, 3).mean(axis=0), colour, atol=1)


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_white(form: str) -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([255, 0, 0, 0, 255, 0] + [0] * 762)
    image.paste(1, (0, 0, 32, 16))
    picture = decode(encoded(image, form, transparency=0))
    assert tuple(picture[0, 0]) == (0, 255, 0)
    assert tuple(picture[-1, -1]) == (255, 255, 255)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_are_refused(form: str) -> None:
    frames = [Image.new("RGB", (32, 32), (60 * step, 0, 0)) for step in range(3)]
    with pytest.raises(UnreadableImage, match="animation"):
        decode(encoded(frames[0], form, save_all=True, append_images=frames[1:]))


def test_a_photo_with_a_depth_picture_behind_it_is_a_photo() -> None:
    first, behind = Image.new("RGB", (32, 24), (200, 0, 0)), Image.new("RGB", (32, 24))
    assert decode(encoded(first, "MPO", save_all=True, append_images=[behind])).shape == (24, 32, 3)


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg xmlns='x'/>", b"\x89PNG\r\n\x1a\n", bytes(5000)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    for reader in (decode, size_of):
        with pytest.raises(UnreadableImage):
            reader(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_truncated_pictures_are_refused(form: str) -> None:
    data = encoded(noise(100, 80), form)
    for share in (0.02, 0.3, 0.7):
        with pytest.raises(UnreadableImage):
            decode(data[: int(len(data) * share)])


def test_a_damaged_picture_never_raises_anything_else() -> None:
    random = np.random.default_rng(1)
    frames = [Image.new("RGB", (32, 32), (9, 9, 9))] * 2
    files = [encoded(noise(32, 32), form) for form in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")]
    files.append(encoded(noise(32, 32), "TIFF", compression="tiff_lzw"))
    files.append(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    for data in files * 60:
        damaged = bytearray(data)
        for place in random.integers(0, min(len(data), 300), 4):
            damaged[place] = random.integers(0, 256)
        for reader in (decode, size_of):
            with suppress(UnreadableImage):
                reader(bytes(damaged))


@pytest.mark.parametrize("side", [8_000, 30_000, 60_000])
def test_a_decompression_bomb_is_refused_from_its_header(side: int) -> None:
    started = time.monotonic()
    with pytest.raises(UnreadableImage, match="pixels"):
        decode(header_of_a_bomb(side, side))
    assert time.monotonic() - started < 0.5


def test_a_whole_one_colour_picture_of_30000_x_30000_is_refused_from_its_header() -> None:
    packed, row = zlib.compressobj(1), bytes(1 + 30_000 // 8)
    body = b"".join(packed.compress(row) for _ in range(30_000)) + packed.flush()
    bomb = header_of_a_bomb(16, 16)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    data = bomb[:8] + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert len(data) < 1_000_000
    started = time.monotonic()
    with pytest.raises(UnreadableImage, match="far too many pixels"):
        decode(data)
    assert time.monotonic() - started < 0.5


def test_limits() -> None:
    data = encoded(noise(40, 50), "PNG")
    for limits, words in (
        (ImageLimits(bytes=100), "bytes are more than the 100"),
        (ImageLimits(pixels=1999), "pixels are more than the 1,999"),
        (ImageLimits(smallest_side_px=41), "a side is under 41"),
    ):
        with pytest.raises(UnreadableImage, match=words):
            decode(data, limits=limits)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("at_least", [(224, 224), (300, 150), (150, 300), (640, 448), (700, 500), (5000, 10)])
def test_a_jpeg_is_decoded_smaller_but_never_too_small(at_least: tuple[int, int], turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    data = encoded(Image.new("RGB", (1600, 1200), (9, 99, 199)), "JPEG", exif=exif)
    height, width = decode(data, at_least=at_least).shape[:2]
    full = (1600, 1200) if turned else (1200, 1600)
    assert height / width == pytest.approx(full[0] / full[1], rel=0.01)
    assert (height >= at_least[0] and width >= at_least[1]) or (height, width) == full
    smallest = height <= full[0] // 8 + 1
    assert smallest or height // 2 < at_least[0] or width // 2 < at_least[1], "half of it would have done"


def test_reading_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no")
    for name in ("bad.jpg", "missing.jpg"):
        with pytest.raises(UnreadableImage, match=name):
            read(tmp_path / name)
    (tmp_path / "good.jpg").write_bytes(encode_jpeg(np.full((20, 30, 3), 90, np.uint8)))
    assert read(tmp_path / "good.jpg").shape == (20, 30, 3)


lengths = st.integers(1, 400)


@given(shape=st.tuples(lengths, lengths), size=st.tuples(lengths, lengths))
def test_a_fitted_picture_is_as_large_as_fits_centred_and_keeps_its_aspect(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    top, left, height, width = fitted_box(shape, size)
    assert 1 <= height <= size[0] and 1 <= width <= size[1]
    assert height == size[0] or width == size[1]
    scale = min(size[0] / shape[0], size[1] / shape[1])
    assert abs(height - shape[0] * scale) <= 1 and abs(width - shape[1] * scale) <= 1
    assert abs((size[0] - height - top) - top) <= 1 and abs((size[1] - width - left) - left) <= 1


@pytest.mark.parametrize(("shape", "size"), [((90, 60), (40, 40)), ((30, 200), (64, 48)), ((10, 10), (30, 50))])
def test_fit_puts_the_picture_into_its_box_and_white_around_it(shape: tuple[int, int], size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    picture = np.broadcast_to(random.integers(0, 200, 3, dtype=np.uint8), (*shape, 3)).copy()
    fitted = fit(picture, size)
    top, left, height, width = fitted_box(shape, size)
    expected = np.full((*size, 3), 255, np.uint8)
    expected[top : top + height, left : left + width] = picture[0, 0]
    np.testing.assert_array_equal(fitted, expected)


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = np.asarray(noise(24, 32))
    np.testing.assert_array_equal(fit(picture, (24, 32)), picture)


def test_halving_averages() -> None:
    picture = np.asarray(noise(64, 64))
    blocks = picture.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(fit(picture, (16, 16)) - blocks).mean() < 20
