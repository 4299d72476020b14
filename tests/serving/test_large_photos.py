"""Large photos: what decoding holds is bounded, however many come at once, and what follows works on small pictures."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, features

from contracts.images import ImageLimits
from serving.app import create_app
from serving.photos import PixelBudget, decode_photo, pixels_of
from serving.stages import DeadlinePassed
from tests.serving.shop import Shop

MIB = 2**20
KINDS = ("PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG", *(["AVIF"] if features.check("avif") else []))

_FOUR_AT_ONCE = """
import io, sys
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from contracts.images import ImageLimits
from serving.photos import PixelBudget, decode_photo, pixels_of, return_memory_of_photos

def peak_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

photo = sys.stdin.buffer.read()
budget = PixelBudget(ImageLimits().pixels)
return_memory_of_photos()

def decoded(_):
    with budget.room_for(pixels_of(photo), None):
        return decode_photo(photo, ImageLimits(), (640, 448)).shape

before = peak_kib()
with ThreadPoolExecutor(4) as threads:
    assert set(threads.map(decoded, range(4))) == {(640, 448, 3)}, "the scale"
print(1024 * (peak_kib() - before))
"""


def encoded(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **how)
    return buffer.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of the process")
def test_four_of_the_largest_photos_at_once_hold_little_more_than_one() -> None:
    photo = encoded(Image.new("RGBA", (5824, 8320), (200, 30, 60, 128)))  # 13 times the size that is asked for
    assert len(photo) < MIB and pixels_of(photo) > 48_000_000
    ran = subprocess.run([sys.executable, "-c", _FOUR_AT_ONCE], input=photo, capture_output=True, check=True)
    assert int(ran.stdout) < 450 * MIB


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_reduced_to_the_scale_it_is_fitted_from(kind: str) -> None:
    large = Image.new("RGB", (1080, 1440), (240, 16, 48))
    picture = decode_photo(encoded(large, kind), ImageLimits(), (640, 448))
    assert picture.shape == (720, 540, 3)
    assert np.abs(picture.astype(int) - (240, 16, 48)).max() <= 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK"])
def test_a_large_picture_of_every_mode_looks_like_itself_in_full(mode: str) -> None:
    shades = np.repeat(np.repeat(np.array([[[0], [255]], [[255], [80]]], dtype=np.uint8), 200, 0), 200, 1)
    rgb = Image.fromarray(np.tile(shades, (1, 1, 3)))
    if mode == "I;16":
        image = Image.fromarray(shades[..., 0].astype(np.uint16) * 257)
    elif mode == "PA":
        image = rgb.convert("P").convert("PA")
    else:
        image = rgb.convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(np.tile(shades[..., 0] // 3 * 2, 1)))
    data = encoded(image, "TIFF" if mode in ("CMYK", "PA") else "PNG")
    full, small = (decode_photo(data, ImageLimits(), (side, side)) for side in (400, 100))
    assert full.shape == (400, 400, 3) and small.shape == (100, 100, 3)
    means = full.reshape(100, 4, 100, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 2


def test_a_transparent_colour_stays_transparent() -> None:
    halves = np.zeros((400, 400, 3), dtype=np.uint8)
    halves[:, 200:] = 90
    data = encoded(Image.fromarray(halves), transparency=(0, 0, 0))
    picture = decode_photo(data, ImageLimits(), (100, 100))
    assert (picture[:, :50] == 255).all() and (picture[:, 50:] == 90).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_large_picture_is_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (800, 400), (0, 200, 0))
    wide.paste((200, 0, 0), (0, 0, 400, 400))  # the left half, which comes to be on top
    picture = decode_photo(encoded(wide, kind, exif=exif), ImageLimits(), (200, 100))
    assert picture.shape == (200, 100, 3)
    assert picture[20, 50, 0] > 180 and picture[180, 50, 1] > 180


def test_photos_decode_together_as_long_as_they_fit() -> None:
    budget, running, most, lock = PixelBudget(10), [0], [0], threading.Lock()

    def decode(pixels: int) -> None:
        with budget.room_for(pixels, 20):
            with lock:
                running[0] += pixels
                most[0] = max(most[0], running[0])
            time.sleep(0.02)
            with lock:
                running[0] -= pixels

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decode, [5, 5, 9, 1, 3, 3, 3, 10] * 3))
        assert most[0] == 10
        list(threads.map(decode, [30, 1]))
    assert running[0] == 0


def test_a_large_photo_is_not_overtaken_by_small_ones_for_ever() -> None:
    budget, order = PixelBudget(10), []

    def decode(pixels: int) -> None:
        with budget.room_for(pixels, 20):
            order.append(pixels)

    with budget.room_for(4, None):
        threads = [threading.Thread(target=decode, args=(pixels,)) for pixels in (10, 1)]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [10, 1]


def test_waiting_for_room_ends_with_the_request_s_time() -> None:
    budget = PixelBudget(10)
    with budget.room_for(10, None), pytest.raises(DeadlinePassed), budget.room_for(1, 0.05):
        pytest.fail("there was no room")
    with budget.room_for(10, 0.05):
        pass


def test_the_service_takes_no_more_at_once_than_one_photo_may_have(open_shop: Shop) -> None:
    app = create_app(open_shop.settings.model_copy(update={"photo_pixels": 1000}))
    budget = app.state.service.decoding
    with budget.room_for(600, None), pytest.raises(DeadlinePassed), budget.room_for(401, 0):
        pytest.fail("there was no room")
