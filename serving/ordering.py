"""Orders of candidates that look at how the candidates relate to one another."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

Reranking = Literal["none", "neural", "k-reciprocal"]
"""How the best candidates are ranked again: not, by the package's reranker, or by how they relate."""

K_RECIPROCAL_DEPTH = 100
"""How many of the closest articles k-reciprocal re-ranking ranks again: as it is measured, so it serves."""


def diverse(relevance: Floats, vectors: Floats, k: int, diversity: float) -> list[int]:
    """`k` of N candidates by maximal marginal relevance, the first one first.

    `relevance` (N,) is higher for closer candidates, `vectors` (N, D) are unit; `diversity` in [0, 1] weighs the
    similarity to what was chosen already against it, 0 keeps the order of relevance. (Carbonell and Goldstein, "The
    use of MMR, diversity-based reranking", SIGIR 1998, equation 1.)
    """
    chosen: list[int] = []
    left = np.ones(len(relevance), dtype=np.bool_)
    closest_chosen = np.zeros(len(relevance), dtype=np.float32)
    for _ in range(min(k, len(relevance))):
        marginal = (1 - diversity) * relevance - diversity * closest_chosen
        best = int(np.argmax(np.where(left, marginal, -np.inf)))
        left[best] = False
        similar = vectors @ vectors[best]
        closest_chosen = similar if not chosen else np.maximum(closest_chosen, similar)
        chosen.append(best)
    return chosen


def k_reciprocal(
    query: Floats, candidates: Floats, *, near: int = 20, expand: int = 6, weight: float = 0.3
) -> list[int]:
    """The order of N candidates, closest first, by k-reciprocal re-ranking among themselves.

    `query` is (D,), `candidates` (N, D), unit vectors all. The distance is `weight` times the original one plus the
    rest of the Jaccard distance of k-reciprocal neighbourhoods, with `near` = k1 and `expand` = k2 neighbours. (Zhong
    et al., "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017, equations 3 to 12.)
    """
    vectors = np.concatenate([query[None], candidates])
    distance = np.maximum(0, 2 - 2 * vectors @ vectors.T)
    distance = distance / np.maximum(distance.max(axis=1, keepdims=True), 1e-12)
    nearest = np.argsort(distance - np.eye(len(vectors)), axis=1, kind="stable")  # each one comes before its twins
    encoded = np.where(_expanded(nearest, near), np.exp(-distance), 0)
    encoded /= encoded.sum(axis=1, keepdims=True)
    encoded = encoded[nearest[:, :expand]].mean(axis=1)
    shared = np.minimum(encoded[0], encoded[1:]).sum(axis=1)
    jaccard = 1 - shared / (2 - shared)
    return [int(row) for row in np.argsort(weight * distance[0, 1:] + (1 - weight) * jaccard, kind="stable")]


def _expanded(nearest: NDArray[np.intp], near: int) -> NDArray[np.bool_]:
    """(N, N) whether a column is a k-reciprocal neighbour of a row, or of one that mostly agrees (equation 4)."""
    members, theirs = _reciprocal(nearest, near), _reciprocal(nearest, max(1, round(near / 2))).astype(np.float32)
    shared = members @ theirs.T  # (N, N) how many of the column's neighbours are among the row's
    agreeing = members & (3 * shared >= 2 * theirs.sum(axis=1))
    return np.asarray(members | (agreeing @ theirs > 0))


def _reciprocal(nearest: NDArray[np.intp], near: int) -> NDArray[np.bool_]:
    """(N, N) whether row and column are among the `near` nearest neighbours of one another; each is its own."""
    forward = np.zeros(nearest.shape, dtype=np.bool_)
    np.put_along_axis(forward, nearest[:, : near + 1], True, axis=1)
    return forward & forward.T
