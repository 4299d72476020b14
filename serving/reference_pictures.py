"""The pictures that a runtime is checked on: drawn, seeded, nobody's photo.

What reduced formats find hardest is what shops' pictures are full of: a plain light ground, on which every place makes
the same rounding error so that no pooling averages it out, and on it something pale, dark or finely patterned.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from contracts.images import WHITE, Picture, Size, decode, encode_jpeg

COUNT = 64
"""Garments: eight of every pattern, in different colours. With two of each, rounding moved their recall by chance."""

_SEED = 7
_JPEG_QUALITY = 85
_SKIN, _TROUSERS = (205, 165, 140), (45, 55, 85)

_Floats = NDArray[np.float64]


def reference_articles(size: Size, count: int = COUNT) -> NDArray[np.uint8]:
    """(count, H, W, 3) uint8 garments by themselves on white, the same ones every time."""
    return np.stack([_article(size, *each) for each in _garments(count)])


def reference_photos(size: Size, count: int = COUNT) -> NDArray[np.uint8]:
    """(count, H, W, 3) uint8 figures that wear the garments of `reference_articles`."""
    return np.stack([_photo(size, *each) for each in _garments(count)])


def _garments(count: int) -> Iterator[tuple[int, _Floats, np.random.Generator]]:
    """The number, the colour (3,) and the source of chance of each garment."""
    for number in range(count):
        random = np.random.default_rng((_SEED, number))
        # dark, middling, and so pale that only a few grey levels tell it from its ground
        yield number, random.uniform(*((5, 60), (60, 220), (240, 253))[number % 3], size=3), random


def _article(size: Size, number: int, base: _Floats, random: np.random.Generator) -> Picture:
    y, x = _grid(size)
    picture = np.full((*size, 3), float(WHITE))
    _paint(picture, _torso(y, x, 0.1, 0.9, 0.3), _cloth(y, x, number, base, random))
    return _photographed(picture)


def _photo(size: Size, number: int, base: _Floats, random: np.random.Generator) -> Picture:
    y, x = _grid(size)
    cloth = _cloth(y, x, number, base, random)
    # as the segmenter leaves a photo; every fourth in a room, for packages without one
    picture = np.full((*size, 3), float(WHITE)) if number % 4 else 150 + 35 * _natural(size, random)
    head = (y - 0.1) ** 2 / 0.008 + (x - 0.5) ** 2 / 0.006 < 1
    legs = (y > 0.55) & (abs(x - 0.5) < 0.17) & (abs(x - 0.5) > 0.02)
    _paint(picture, head, np.array(_SKIN, dtype=np.float64))
    _paint(picture, legs, np.array(_TROUSERS, dtype=np.float64))
    _paint(picture, _torso(y, x, 0.2, 0.62, 0.2), cloth)
    return _photographed(picture)


def _grid(size: Size) -> tuple[_Floats, _Floats]:
    """The (H, W) coordinates from 0 to 1, down and across."""
    down, across = np.linspace(0, 1, size[0])[:, None], np.linspace(0, 1, size[1])[None, :]
    return np.broadcast_to(down, size).copy(), np.broadcast_to(across, size).copy()


def _torso(y: _Floats, x: _Floats, top: float, bottom: float, half_width: float) -> NDArray[np.bool_]:
    """(H, W) a body with two short sleeves and a neckline."""
    height = (y - top) / (bottom - top)
    inside = (height >= 0) & (height <= 1)
    width = half_width * np.where(height < 0.35, 1.5 - 0.6 * height, 0.95)
    neck = (height < 0.12) & (abs(x - 0.5) < 0.25 * half_width)
    return inside & (abs(x - 0.5) <= width) & ~neck


def _cloth(y: _Floats, x: _Floats, number: int, base: _Floats, random: np.random.Generator) -> _Floats:
    """(H, W, 3) one of eight patterns in the colour `base`, with the soft shade of folds."""
    stripes = int(random.integers(6, 30))
    patterns = (
        lambda: np.zeros_like(x),
        lambda: np.sign(np.sin(2 * np.pi * stripes * y)),
        lambda: np.sign(np.sin(2 * np.pi * stripes * x)),
        lambda: np.sign(np.sin(np.pi * stripes * x) * np.sin(np.pi * stripes * y)),
        lambda: 2.0 * (np.sin(np.pi * stripes * x) ** 2 + np.sin(np.pi * stripes * y) ** 2 > 1.7) - 1,
        lambda: _natural(x.shape, random)[..., 0],
        lambda: 2 * y - 1,
        lambda: 2.0 * ((abs(x - 0.5) < 0.1) & (abs(y - 0.4) < 0.08)) - 1,
    )
    pattern = patterns[number % len(patterns)]()
    pale = base.min() > 235
    contrast = random.uniform(2, 8 if pale else 90, size=3) * random.choice([-1, 1], size=3)
    folds = (2 if pale else 6) * np.sin(2 * np.pi * (2 * x + y + random.random()))
    return np.asarray(base + pattern[..., None] * contrast + folds[..., None])


def _natural(size: tuple[int, ...], random: np.random.Generator) -> _Floats:
    """(H, W, 3) noise whose amplitude falls with frequency as photos' does, with deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=(*size, 3)), axes=(0, 1)) / frequency[..., None]
    noise = np.fft.irfft2(spectrum, s=size, axes=(0, 1))
    return np.asarray(noise / noise.std())


def _paint(picture: _Floats, where: NDArray[np.bool_], colour: _Floats) -> None:
    picture[where] = colour[where] if colour.ndim == 3 else colour


def _photographed(picture: _Floats) -> Picture:
    """As uint8, with the artefacts of JPEG."""
    return decode(encode_jpeg(np.clip(picture, 0, 255).astype(np.uint8), _JPEG_QUALITY))
