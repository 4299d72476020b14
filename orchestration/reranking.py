"""What k-reciprocal re-ranking adds to a package, measured with the service's own function and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration.intervals import bootstrap_intervals
from serving.ordering import K_RECIPROCAL_DEPTH, k_reciprocal
from training.metrics import average_precision, ranks_of_relevant

Vectors = NDArray[np.float32]

MOST_QUERIES = 1000
"""Some milliseconds each; the interval says how sure their mean is."""


@dataclass(frozen=True)
class Gain:
    """The mean average precision of `queries` as they are ranked by cosine (`plain`) and `reranked`.

    `low` and `high` are the ends of the 95 % bootstrap interval of the difference, query by query.
    """

    queries: int
    plain: float
    reranked: float
    low: float
    high: float

    @property
    def sure(self) -> float:
        """What is gained at least; 0 where it may be nothing."""
        return max(0.0, self.low)


def k_reciprocal_gain(queries: Vectors, gallery: Vectors, relevant: Sequence[set[int]]) -> Gain | None:
    """Rank the `gallery` (G, D) for `queries` (Q, D), unit vectors all, and rank the closest of it again.

    `relevant` holds each query's rows of the gallery. Of many queries with a relevant row, at most `MOST_QUERIES` are
    taken, evenly spaced. None without any.
    """
    matched = [row for row, shown in enumerate(relevant) if shown]
    taken = matched[:: -(-len(matched) // MOST_QUERIES) or 1]
    if not taken:
        return None
    pairs = [_precisions(queries[row], gallery, np.array(sorted(relevant[row]))) for row in taken]
    precisions = np.array(pairs, dtype=np.float64)  # (Q, 2)
    plain, reranked = precisions.mean(axis=0)
    ((low, high),) = bootstrap_intervals(precisions[:, 1:] - precisions[:, :1])
    return Gain(len(taken), float(plain), float(reranked), low, high)


def _precisions(query: Vectors, gallery: Vectors, relevant: NDArray[np.int64]) -> tuple[float, float]:
    """The average precision of one query as it is, and with its closest items ranked again."""
    scores = gallery @ query
    closest = np.argsort(-scores, kind="stable")[:K_RECIPROCAL_DEPTH]
    order = closest[k_reciprocal(query, gallery[closest])]
    again = scores.copy()
    again[order] = 2 + np.arange(len(order), 0, -1)  # above every cosine, the first one highest
    plain, reranked = (average_precision(ranks_of_relevant(each, relevant)) for each in (scores, again))
    return plain, reranked
