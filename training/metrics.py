"""How good a retrieval or a segmentation is. numpy only; higher is better throughout."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 256 * 2**20
"""The scores held at one time."""

RANKS = (1, 5, 10, 20, 50)


@dataclass(frozen=True)
class RetrievalMetrics:
    """The figures of a retrieval.

    `acc[k]` is the share of queries with a relevant item among the first k; `mean_ap` the mean average precision.
    Both are over `queries`, those with a relevant item in the gallery; `skipped` counts those without.
    `ranks_of_first` (Q,) int64 holds the rank, from 1, of each query's first relevant item; 0 where skipped.
    """

    acc: dict[int, float]
    mean_ap: float
    queries: int
    skipped: int
    gallery: int
    ranks_of_first: NDArray[np.int64]

    def named(self, prefix: str) -> dict[str, float]:
        """The figures as `{prefix}/acc_1`, …, `{prefix}/map`."""
        return {**{f"{prefix}/acc_{k}": value for k, value in self.acc.items()}, f"{prefix}/map": self.mean_ap}


def retrieval_metrics(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    relevant: Sequence[Collection[int] | NDArray[Any]],
    *,
    ks: Sequence[int] = RANKS,
    block_bytes: int = BLOCK_BYTES,
) -> RetrievalMetrics:
    """Rank the `gallery` (G, D) for each of `queries` (Q, D) by dot product, block by block.

    `relevant` holds the gallery rows that each query should find; a query without any is skipped and counted.
    Among equal scores relevant items come last, so a network that gives everything one vector scores nothing.
    Raises ValueError when the lengths differ or a row lies outside the gallery.
    """
    if len(relevant) != len(queries):
        raise ValueError(f"{len(queries)} queries, but {len(relevant)} sets of relevant items")
    rows = [np.unique(np.asarray(list(items), dtype=np.int64)) for items in relevant]
    if any(r.size and (r[0] < 0 or r[-1] >= len(gallery)) for r in rows):
        raise ValueError(f"a relevant row lies outside the gallery of {len(gallery)}")
    first = np.zeros(len(queries), dtype=np.int64)
    precision = np.zeros(len(queries))
    step = max(1, block_bytes // max(1, 4 * len(gallery)))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ gallery.T  # (block, G)
        for offset, row in enumerate(scores):
            ranks = ranks_of_relevant(row, rows[start + offset])
            if ranks.size:
                first[start + offset] = ranks[0]
                precision[start + offset] = average_precision(ranks)
    found = first > 0
    counted = int(found.sum())
    acc = {k: float((first[found] <= k).mean()) if counted else 0.0 for k in ks}
    mean_ap = float(precision[found].mean()) if counted else 0.0
    return RetrievalMetrics(acc, mean_ap, counted, len(queries) - counted, len(gallery), first)


def ranks_of_relevant(scores: NDArray[np.float32], relevant: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ranks, from 1 and ascending, of the `relevant` rows (R,) in `scores` (G,); behind equal scores."""
    scores = np.where(np.isnan(scores), -np.inf, scores)  # what a diverged network gives is no match
    own = np.sort(scores[relevant])[::-1]  # (R,) descending
    ranks = np.empty(own.size, dtype=np.int64)
    for place, score in enumerate(own):
        better_or_equal = int(np.count_nonzero(scores >= score))
        relevant_among = int(np.count_nonzero(own >= score))
        ranks[place] = better_or_equal - relevant_among + place + 1
    return ranks


def average_precision(ranks: NDArray[np.int64]) -> float:
    """The mean over the relevant items of the precision at their rank; `ranks` (R,) ascending, from 1."""
    return float((np.arange(1, ranks.size + 1) / ranks).mean())


def ranks_of_first_among(order: NDArray[np.int64], relevant: Sequence[Collection[int]]) -> NDArray[np.int64]:
    """For each row of `order` (Q, K) of gallery rows, best first, the rank of the first relevant; 0 where none is."""
    ranks = np.zeros(len(order), dtype=np.int64)
    for query, (row, wanted) in enumerate(zip(order, relevant, strict=True)):
        hits = np.flatnonzero(np.isin(row, np.asarray(list(wanted), dtype=np.int64)))
        ranks[query] = hits[0] + 1 if hits.size else 0
    return ranks


def intersection_over_union(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of masks (N, H, W) each with its truth, (N,) in [0, 1]; two empty masks agree fully."""
    both = (predicted & truth).reshape(len(truth), -1).sum(axis=1)
    either = (predicted | truth).reshape(len(truth), -1).sum(axis=1)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def iou_summary(values: NDArray[np.float64], prefix: str) -> dict[str, float]:
    """The mean and the 5th percentile of intersections over union; empty for none."""
    if not values.size:
        return {}
    return {f"{prefix}/iou": float(values.mean()), f"{prefix}/iou_p5": float(np.percentile(values, 5))}


def balanced_accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """The mean over the classes that occur in `truth` (N,) of the share of them that `predicted` (N,) hits."""
    classes = np.unique(truth)
    return float(np.mean([(predicted[truth == one] == one).mean() for one in classes])) if classes.size else 0.0


def macro_f1(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """The mean over the classes that `predicted` or `truth` (N,) names of their F1, in [0, 1]."""
    classes = np.union1d(predicted, truth)
    hits = np.array([((predicted == one) & (truth == one)).sum() for one in classes])
    named = np.array([(predicted == one).sum() + (truth == one).sum() for one in classes])
    return float(np.mean(2 * hits / named)) if classes.size else 0.0


def neighbour_agreement(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], k: int = 10, *, block_bytes: int = BLOCK_BYTES
) -> float:
    """The mean share of the `k` nearest other items, by dot product of unit `vectors` (N, D), with an item's label.

    `labels` (N,) int64. Of fewer than `k` others all count; 0.0 for fewer than two items.
    """
    count = min(k, len(vectors) - 1)
    if count < 1:
        return 0.0
    agreeing = 0
    step = max(1, block_bytes // (4 * len(vectors)))
    for start in range(0, len(vectors), step):
        scores = vectors[start : start + step] @ vectors.T  # (block, N)
        own = np.arange(start, start + len(scores))
        scores[np.arange(len(scores)), own] = -np.inf
        nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        agreeing += int((labels[nearest] == labels[own, None]).sum())
    return agreeing / (count * len(vectors))
