"""Made-up articles for benchmarks of the index: vectors in clusters, as those of similar garments are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.index import Points
from contracts.vocabulary import CATEGORIES

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
