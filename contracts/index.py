"""The index of article vectors: what is stored, and what a backend must do."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ThreadlineError
from contracts.files import digest_of

_NAMESPACE = uuid.UUID("6e7b6a52-3c1f-5b0e-9a44-0d5a3f7c1b11")


def point_id(article_id: str) -> str:
    """The id of an article's point, a UUID that depends on nothing but `article_id`."""
    return str(uuid.uuid5(_NAMESPACE, article_id))


@dataclass(frozen=True)
class Points:
    """What a collection should hold: one point an article.

    `vectors` is (N, D) float32 with unit rows; `vector_digests` say what each vector was computed from (never its
    floats); `payloads` are JSON-able and hold "article_id", "name", "category", "assortments", "attributes", and
    "url", "price", "in_stock" where known. "images" are the article's pictures, "image" the first of them.
    """

    article_ids: tuple[str, ...]
    vectors: NDArray[np.float32]
    vector_digests: tuple[str, ...]
    payloads: tuple[dict[str, Any], ...]

    def payload_digests(self) -> tuple[str, ...]:
        """What each payload is, as a digest."""
        return tuple(digest_of(payload) for payload in self.payloads)


@dataclass(frozen=True)
class ArticleFilter:
    """Only articles that pass everything that is stated; None does not filter.

    `attributes` names, by attribute, the values of which an article must have one. An article without a price passes
    no price limit (both inclusive), one of unknown stock is not `in_stock`. Names of attributes have no double quote:
    no backend can ask for one. Raises ValueError for such a name.
    """

    category: str | None = None
    assortment: str | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    price_min: float | None = None
    price_max: float | None = None
    in_stock: bool = False

    def __post_init__(self) -> None:
        for name in self.attributes:
            if not name or '"' in name:
                raise ValueError(f"an attribute cannot be called {name!r}")


class IndexUnavailable(ThreadlineError):  # noqa: N818 - read as a sentence
    """The index cannot be reached, or does not answer in time; it may again later."""


@dataclass(frozen=True)
class Hit:
    """An article found. `score` is the cosine similarity: higher is closer."""

    article_id: str
    score: float
    payload: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reconciled:
    """What it took to bring a collection to the wanted points, and the reference under which it is read."""

    reference: str
    count: int
    vectors_written: int
    payloads_written: int
    deleted: int


class Collection(Protocol):
    """An open collection. Reading only; safe to call from several threads.

    Every method raises IndexUnavailable when the index does not answer.
    """

    def search(self, vectors: NDArray[np.float32], k: int, where: ArticleFilter | None = None) -> list[list[Hit]]:
        """The `k` closest articles to each row of `vectors` (Q, D), closest first."""
        ...

    def vectors(self, article_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The (D,) float32 unit vectors of those of `article_ids` that are there."""
        ...

    def payloads(self, article_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The payloads of those of `article_ids` that are there."""
        ...

    def count(self) -> int:
        """How many articles the collection holds."""
        ...

    def categories(self) -> dict[str, int]:
        """How many articles each category has, the largest first."""
        ...

    def close(self) -> None:
        """Give back what the collection holds open."""
        ...


class ArticleIndex(Protocol):
    """A place that keeps collections."""

    def reconcile(self, name: str, points: Points, *, afresh: bool = False) -> Reconciled:
        """Bring the collection `name` to exactly `points`, writing only what differs; `afresh`: all of them.

        A collection that is being read stays as it was until the result is complete, counted and probed. Raises
        ThreadlineError when the result does not hold exactly the wanted points.
        """
        ...

    def open(self, reference: str) -> Collection:
        """Open what `reconcile` returned. Raises ThreadlineError when it is gone."""
        ...

    def references(self) -> list[str]:
        """Every reference that can be opened, the oldest first."""
        ...

    def drop(self, reference: str) -> None:
        """Remove what `reference` names; nothing happens when it is gone already."""
        ...
