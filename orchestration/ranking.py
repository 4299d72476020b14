"""Where the relevant items of each query come in the gallery, block by block."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import BLOCK_BYTES, average_precision, ranks_of_relevant

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """What became of each of Q queries.

    `first` (Q,) int64 is the rank, from 1, of the first relevant item. `precision` (Q,) float64 is the average
    precision. `percentile` (Q,) float64 in (0, 1] is the mean over the relevant items of their rank divided by
    `gallery` (Q,) int64, the size of the gallery the query was searched in; lower is better. All are 0 where the
    gallery holds nothing relevant.
    """

    first: NDArray[np.int64]
    precision: NDArray[np.float64]
    percentile: NDArray[np.float64]
    gallery: NDArray[np.int64]

    @property
    def matched(self) -> NDArray[np.bool_]:
        """(Q,) whether the gallery holds anything relevant."""
        return self.first > 0


def rank(
    queries: Vectors, gallery: Vectors, relevant: Sequence[Collection[int]], *, block_bytes: int = BLOCK_BYTES
) -> Ranking:
    """Rank the `gallery` (G, D) for each of `queries` (Q, D) by dot product; `relevant` holds each query's rows of it.

    At most `block_bytes` of scores are held at a time. Among equal scores relevant items come last. Raises ValueError
    when the lengths differ or a row lies outside the gallery.
    """
    rows = [np.unique(np.asarray(list(items), dtype=np.int64)) for items in relevant]
    if len(rows) != len(queries):
        raise ValueError(f"{len(queries)} queries, but {len(rows)} sets of relevant items")
    if any(r.size and (r[0] < 0 or r[-1] >= len(gallery)) for r in rows):
        raise ValueError(f"a relevant row lies outside the gallery of {len(gallery)}")
    first = np.zeros(len(queries), dtype=np.int64)
    precision, percentile = np.zeros(len(queries)), np.zeros(len(queries))
    step = max(1, block_bytes // max(1, 4 * len(gallery)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step] @ gallery.T  # (block, G)
        for query, scores in enumerate(block, start):
            if rows[query].size:
                ranks = ranks_of_relevant(scores, rows[query])
                first[query], precision[query] = ranks[0], average_precision(ranks)
                percentile[query] = ranks.mean() / len(gallery)
    return Ranking(first, precision, percentile, np.full(len(queries), len(gallery)))


def joined(rankings: Sequence[Ranking]) -> Ranking:
    """The queries of several rankings, each in its own gallery, as one."""
    columns = zip(*((r.first, r.precision, r.percentile, r.gallery) for r in rankings), strict=True)
    return Ranking(*(np.concatenate(column) for column in columns))
