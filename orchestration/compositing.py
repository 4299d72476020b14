"""A person from a studio set down in a street: the photo and its true mask, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.images import Picture, Size
from contracts.masks import Mask, person_box
from orchestration.cutout import Cutout

Floats = NDArray[np.float32]

SIZE: Size = (480, 360)

_SHARES = (0.55, 0.9)
"""How much of the photo's height a person takes who is not cut by it."""

_ROOM = 0.25
_SCENES = (0.5, 0.8)
_FEET = 0.06
_CUT = 0.03
"""A border cuts the person when they take this share of it; less is a lock of hair."""


@dataclass(frozen=True)
class Composite:
    """A photo (H, W, 3) and the true `mask` (H, W) of the person in it."""

    picture: Picture
    mask: Mask


def has_room(mask: Mask) -> bool:
    """Whether enough of a street photo lies beside its person to stand somebody else there."""
    return bool((~_taken(mask)).mean() >= _ROOM)


def compose(
    person: Cutout, street: Picture, street_mask: Mask, rng: np.random.Generator, size: Size = SIZE
) -> Composite:
    """Set the `person` down before what is beside the people of a `street` photo, at a random place and scale.

    A border of the studio photo that cuts the person stays a border: nobody ends in mid-air.
    """
    scene = _scene(street[:, ~_taken(street_mask)], rng, size)
    top, left, colours, opacity = _place(person, rng, size)
    height, width = opacity.shape
    lit = np.clip(colours * _light(scene, rng), 0, 255)
    behind = scene[top : top + height, left : left + width]
    picture, mask = scene.copy(), np.zeros(size, dtype=np.bool_)
    mixed = opacity[..., None] * lit + (1 - opacity[..., None]) * behind
    picture[top : top + height, left : left + width] = np.rint(mixed).astype(np.uint8)
    mask[top : top + height, left : left + width] = opacity >= 0.5
    return Composite(picture, mask)


def _taken(mask: Mask) -> Mask:
    """The columns of the box around everybody, (W,)."""
    columns = np.zeros(mask.shape[1], dtype=np.bool_)
    if mask.any():
        _, left, _, right = person_box(mask)
        columns[left:right] = True
    return columns


def _scene(free: Picture, rng: np.random.Generator, size: Size) -> Picture:
    """A piece of the person-free columns of a street photo, mirrored at its sides where it is too narrow."""
    height = round(free.shape[0] * rng.uniform(*_SCENES))
    width = round(height * size[1] / size[0])
    missing = max(0, width - free.shape[1])
    wide = np.pad(free, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), mode="symmetric")
    top, left = rng.integers(free.shape[0] - height + 1), rng.integers(wide.shape[1] - width + 1)
    piece = Image.fromarray(wide[top : top + height, left : left + width])
    return np.array(piece.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _place(person: Cutout, rng: np.random.Generator, size: Size) -> tuple[int, int, Floats, Floats]:
    """Where the person's box comes to lie (top, left), and its colours (h, w, 3) and opacity (h, w) at its new size."""
    mask, (height, width) = person.mask, size
    above, below = mask[0].mean() > _CUT, mask[-1].mean() > _CUT
    before, behind = mask[:, 0].mean() > _CUT, mask[:, -1].mean() > _CUT
    box = _box(person)
    rows, columns = box[1] - box[0], box[3] - box[2]
    scale = height * rng.uniform(*_SHARES) / rows
    if above and below:
        scale = height / rows
    elif before and behind:
        scale = width / columns
    scale = min(scale, height / rows, width / columns)
    tall, broad = min(height, round(rows * scale)), min(width, round(columns * scale))
    ground = height if below else height - min(height - tall, round(rng.uniform(0, _FEET) * height))
    top = 0 if above else ground - tall
    free = width - broad
    left = 0 if before else free if behind else int(rng.integers(free + 1))
    crop = (slice(box[0], box[1]), slice(box[2], box[3]))
    colours = Image.fromarray(person.colours[crop]).resize((broad, tall), Image.Resampling.BICUBIC)
    opacity = Image.fromarray(person.opacity[crop]).resize((broad, tall), Image.Resampling.BILINEAR)
    return top, left, np.asarray(colours, dtype=np.float32), np.asarray(opacity)


def _box(person: Cutout) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of everything that is not wholly transparent."""
    seen = person.opacity > 0.02
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _light(scene: Picture, rng: np.random.Generator) -> float:
    """How much of the studio's light there is in the `scene`: a darker street makes a darker person."""
    return float(np.clip((scene.mean() / 150) ** 0.3, 0.75, 1.1) * rng.uniform(0.95, 1.05))
