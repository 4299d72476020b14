"""How sure a figure is: bootstrap intervals over queries or photos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
"""(low, high), in the unit of the figure."""

LEVEL = 0.95
RESAMPLES = 1000

_BATCH_BYTES = 64 * 2**20


def bootstrap_intervals(
    values: NDArray[np.float64], statistic: Callable[..., Any] = np.mean, *, seed: int = 0
) -> list[Interval]:
    """The percentile bootstrap interval (Efron 1979) at 95 % of `statistic` for each column of `values` (N, S).

    The N rows, the queries, are drawn anew 1,000 times, the same draws for every column; one `seed` gives one answer.
    `statistic` is vectorised: it takes an `axis`. A single row gives an interval without width. Raises ValueError
    without rows.
    """
    if len(values) == 0:
        raise ValueError("without values there is no interval")
    if len(values) == 1:
        return [(float(value), float(value)) for value in statistic(values, axis=0)]
    from scipy.stats import bootstrap  # takes most of a second to import

    found = bootstrap(
        (values,),
        statistic,
        axis=0,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_BYTES // values.nbytes),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    ends = np.stack(found.confidence_interval, axis=-1)  # (S, 2)
    return [(float(low), float(high)) for low, high in ends]


def bootstrap_interval_of_ratio(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], level: float = LEVEL, *, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval at `level` of a mean over groups of queries, drawn anew as wholes.

    `sums` (G,) are the groups' sums of the figure and `sizes` (G,) their numbers of queries. A single group gives an
    interval without end: nothing is known of another.
    """
    if len(sums) < 2:
        return -np.inf, np.inf
    from scipy.stats import bootstrap  # takes most of a second to import

    found = bootstrap(
        (sums, sizes),
        lambda total, size, axis: total.sum(axis) / size.sum(axis),
        paired=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_BYTES // sums.nbytes),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
