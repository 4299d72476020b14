"""What separates the points that a collection holds from those that it should hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.errors import ThreadlineError
from contracts.files import digest_of
from contracts.index import Collection, Points

Digests = tuple[str, str]
"""(vector digest, payload digest)"""

PROBES = 32
FOUND_SHARE = 0.9
"""Share of the probed points that must come first for their own vector: an approximate index may miss a few."""

REBUILD = "run `threadline index rebuild`"
"""What to do about a collection that is lost or damaged."""

_UNIT_TOLERANCE = 1e-2
_SAME_VECTOR = 1e-3


@dataclass(frozen=True)
class Difference:
    """Rows of the wanted points whose vector, or only whose payload, must be written; articles that must go."""

    vectors: tuple[int, ...]
    payloads: tuple[int, ...]
    deleted: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.vectors or self.payloads or self.deleted)


def difference(points: Points, payload_digests: Sequence[str], present: Mapping[str, Digests]) -> Difference:
    """What must be written and deleted to come from the `present` digests, by article, to `points`."""
    vectors, payloads = [], []
    for row, article_id in enumerate(points.article_ids):
        held = present.get(article_id)
        if held is None or held[0] != points.vector_digests[row]:
            vectors.append(row)
        elif held[1] != payload_digests[row]:
            payloads.append(row)
    wanted = set(points.article_ids)
    return Difference(tuple(vectors), tuple(payloads), tuple(sorted(key for key in present if key not in wanted)))


def check_points(points: Points) -> None:
    """Raises ThreadlineError when `points` contradict themselves or a vector is not of unit length."""
    ids, count = points.article_ids, len(points.article_ids)
    remedy = "compute the article vectors again"
    if points.vectors.ndim != 2 or not count == len(points.vectors) == len(points.vector_digests) == len(
        points.payloads
    ):
        raise ThreadlineError("ids, vectors, digests and payloads are not of one length", remedy)
    if len(set(ids)) != count:
        raise ThreadlineError("an article is there twice", remedy)
    for article_id, payload in zip(ids, points.payloads, strict=True):
        if payload.get("article_id") != article_id:
            raise ThreadlineError(f"the payload of {article_id} names another article", remedy)
    off = np.abs(np.linalg.norm(points.vectors, axis=1) - 1.0)
    wrong = np.flatnonzero(~(off <= _UNIT_TOLERANCE))
    if wrong.size:
        raise ThreadlineError(f"the vector of {ids[wrong[0]]} is not of unit length ({wrong.size} such)", remedy)


def check_collection(reference: str, collection: Collection, points: Points) -> None:
    """Count `collection` and probe it with a sample of `points`.

    Raises ThreadlineError unless it holds as many points, the sample's vectors and payloads, and finds nearly all of
    the sample first by their own vectors.
    """
    count = collection.count()
    if count != len(points.article_ids):
        raise ThreadlineError(f"{reference} holds {count:,} articles, not {len(points.article_ids):,}", REBUILD)
    rows = _sample(count)
    if not rows:
        return
    ids, wanted = [points.article_ids[row] for row in rows], points.vectors[rows]
    held, payloads = collection.vectors(ids), collection.payloads(ids)
    for row, article_id in zip(rows, ids, strict=True):
        if article_id not in held or np.dot(held[article_id], points.vectors[row]) < 1 - _UNIT_TOLERANCE:
            raise ThreadlineError(f"{reference} does not hold the vector of {article_id}", REBUILD)
        if article_id not in payloads or digest_of(payloads[article_id]) != digest_of(points.payloads[row]):
            raise ThreadlineError(f"{reference} does not hold the payload of {article_id}", REBUILD)
    firsts = collection.search(wanted, 1)
    # two articles may share a vector: then either may come first
    found = sum(bool(hits) and hits[0].score >= 1 - _SAME_VECTOR for hits in firsts)
    if found < FOUND_SHARE * len(rows):
        raise ThreadlineError(f"{reference} finds only {found} of {len(rows)} articles by their own vectors", REBUILD)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _sample(count: int) -> list[int]:
    """Up to PROBES rows, spread evenly: the first and the last are among them."""
    return sorted({round(row) for row in np.linspace(0, count - 1, min(PROBES, count))})
