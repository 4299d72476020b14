"""What a bootstrap interval must be, and beside the textbook's."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from orchestration.intervals import bootstrap_interval_of_ratio, bootstrap_intervals


def hits(count: int, share: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, 1)) < share).astype(np.float64)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = hits(200, 0.4)
    assert bootstrap_intervals(values) == bootstrap_intervals(values)
    assert bootstrap_intervals(values, seed=1) != bootstrap_intervals(values)


@pytest.mark.parametrize("count", [5, 50, 500])
def test_it_contains_the_estimate(count: int) -> None:
    values = np.random.default_rng(count).random((count, 3))
    for (low, high), estimate in zip(bootstrap_intervals(values), values.mean(axis=0), strict=True):
        assert low < estimate < high


def test_it_narrows_as_the_root_of_the_number_of_queries() -> None:
    (few,), (many,) = bootstrap_intervals(hits(100, 0.5)), bootstrap_intervals(hits(10_000, 0.5))
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(10, rel=0.15)


def test_it_is_about_the_normal_approximation_of_a_share() -> None:
    values = hits(1000, 0.4)
    share = values.mean()
    half = 1.96 * np.sqrt(share * (1 - share) / 1000)
    assert bootstrap_intervals(values)[0] == pytest.approx((share - half, share + half), abs=0.006)


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        ((low, high),) = bootstrap_intervals(hits(150, 0.3, seed))
        covered += low <= 0.3 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_another_statistic_is_resampled_too() -> None:
    values = np.random.default_rng(0).random((400, 1))
    ((low, high),) = bootstrap_intervals(values, partial(np.percentile, q=5))
    assert low < float(np.percentile(values, 5)) < high
    assert 0 < low < high < 0.15


def test_columns_do_not_change_each_other() -> None:
    values = np.random.default_rng(0).random((60, 2))
    assert bootstrap_intervals(values)[1] == pytest.approx(bootstrap_intervals(values[:, 1:])[0])


def test_one_row_has_no_width_and_none_no_interval() -> None:
    assert bootstrap_intervals(np.array([[0.5, 1.0]])) == [(0.5, 0.5), (1.0, 1.0)]
    with pytest.raises(ValueError, match="without values"):
        bootstrap_intervals(np.empty((0, 2)))


def test_groups_of_one_query_are_queries() -> None:
    values = np.random.default_rng(0).normal(size=80)
    assert bootstrap_interval_of_ratio(values, np.ones(80)) == pytest.approx(bootstrap_intervals(values[:, None])[0])


def test_groups_are_drawn_as_wholes() -> None:
    """Every query of a group alike: as many draws as there are groups, however many queries they have."""
    of_groups = np.random.default_rng(0).normal(size=30)
    low, high = bootstrap_interval_of_ratio(of_groups * 7, np.full(30, 7.0))
    assert (low, high) == pytest.approx(bootstrap_interval_of_ratio(of_groups, np.ones(30)))
    ((narrow_low, narrow_high),) = bootstrap_intervals(np.repeat(of_groups, 7)[:, None])
    assert high - low > 2 * (narrow_high - narrow_low)
    assert bootstrap_interval_of_ratio(np.array([3.0]), np.array([7.0])) == (-np.inf, np.inf)
