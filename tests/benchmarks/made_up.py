"""Made-up things for benchmarks: articles, vectors in clusters as those of similar garments are, pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.images import Picture, Size
from contracts.index import Points
from contracts.model_package import Provenance
from contracts.vocabulary import CATEGORIES

if TYPE_CHECKING:
    from training.context import Progress, TrainingContext

Floats = NDArray[np.float32]
_COLOURS = ("black", "blue", "green", "grey", "navy", "red", "white", "yellow")
_PER_CLUSTER = 50
_BLOCK = 50_000


def vectors(count: int, dimension: int, seed: int = 0, noise: float = 0.7) -> Floats:
    """(count, dimension) unit vectors around one centre for each 50 of them; equal for an equal `seed`.

    `noise` is the length of a vector's distance from its centre, whose length is 1.
    """
    centres = np.random.default_rng(1).standard_normal((max(1, count // _PER_CLUSTER), dimension), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    random = np.random.default_rng(seed + 2)
    made = np.empty((count, dimension), dtype=np.float32)
    for start in range(0, count, _BLOCK):
        rows = made[start : start + _BLOCK]
        rows[:] = random.standard_normal(rows.shape, dtype=np.float32) * (noise / np.sqrt(dimension))
        rows += centres[random.integers(0, len(centres), len(rows))]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def queries(count: int, articles: Floats, noise: float = 0.5) -> Floats:
    """(count, D) unit vectors near some of the `articles`, as photos of them are."""
    random = np.random.default_rng(3)
    near = articles[random.integers(0, len(articles), count)]
    made = near + random.standard_normal(near.shape, dtype=np.float32) * (noise / np.sqrt(near.shape[1]))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def points(count: int, dimension: int) -> Points:
    """What a collection of `count` made-up articles holds."""
    return Points(
        article_ids=tuple(f"article-{number}" for number in range(count)),
        vectors=vectors(count, dimension),
        vector_digests=tuple(f"v{number}" for number in range(count)),
        payloads=tuple(payload(number) for number in range(count)),
    )


def payload(number: int) -> dict[str, Any]:
    """The payload of an article."""
    return {
        "article_id": f"article-{number}",
        "name": f"Article {number}",
        "category": CATEGORIES[number % len(CATEGORIES)],
        "assortments": ["summer" if number % 3 else "winter"],
        "attributes": {"colour": _COLOURS[number // 8 % len(_COLOURS)]},
        "price": 5.0 + number % 200,
        "in_stock": number % 5 != 0,
    }


def picture(random: np.random.Generator, size: Size) -> Picture:
    """A picture of `size` (height, width): soft blobs with some grain, which compress as photos do."""
    blobs = Image.fromarray(random.integers(0, 256, (6, 4, 3), dtype=np.uint8))
    soft = np.asarray(blobs.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return np.clip(soft + random.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)


def training_context(folder: Path, report: Callable[[Progress], None]) -> TrainingContext:
    """A training's folders below `folder`; `report` is told of its progress."""
    from training.context import TrainingContext

    places = {name: folder / name for name in ("out", "checkpoints", "pictures", "plots")}
    for place in places.values():
        place.mkdir()
    return TrainingContext(**places, report=report, log=lambda values, step: None, provenance=Provenance())
