"""Each figure against a slow, obvious reference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.metrics import (
    average_precision,
    balanced_accuracy,
    intersection_over_union,
    iou_summary,
    ranks_of_first_among,
    retrieval_metrics,
)


def reference(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], relevant: list[set[int]]
) -> tuple[dict[int, float], float]:
    firsts, precisions = [], []
    for query, wanted in zip(queries, relevant, strict=True):
        if not wanted:
            continue
        order = sorted(range(len(gallery)), key=lambda row: -float(query @ gallery[row]))
        hits = [rank for rank, row in enumerate(order, 1) if row in wanted]
        firsts.append(hits[0])
        precisions.append(sum((found + 1) / rank for found, rank in enumerate(hits)) / len(hits))
    return {k: float(np.mean([f <= k for f in firsts])) for k in (1, 5, 10)}, float(np.mean(precisions))


@pytest.mark.parametrize("block_bytes", [1, 1000, 2**28])
def test_retrieval_is_what_sorting_the_gallery_gives(block_bytes: int) -> None:
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(40, 6)).astype(np.float32), rng.normal(size=(90, 6)).astype(np.float32)
    relevant = [set(rng.choice(90, size=size, replace=False).tolist()) for size in rng.integers(0, 5, size=40)]
    found = retrieval_metrics(queries, gallery, relevant, ks=(1, 5, 10), block_bytes=block_bytes)
    acc, mean_ap = reference(queries, gallery, relevant)
    assert found.acc == pytest.approx(acc)
    assert found.mean_ap == pytest.approx(mean_ap)
    assert found.skipped == sum(not wanted for wanted in relevant)
    assert found.queries + found.skipped == 40
    assert [rank == 0 for rank in found.ranks_of_first] == [not wanted for wanted in relevant]


def test_a_network_that_gives_everything_one_vector_scores_nothing() -> None:
    same = np.ones((20, 4), dtype=np.float32)
    assert retrieval_metrics(same, same, [[row] for row in range(20)], ks=(1, 10)).acc == {1: 0.0, 10: 0.0}


def test_no_query_with_a_match_is_no_error() -> None:
    found = retrieval_metrics(np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), [[], []])
    assert (found.queries, found.skipped, found.mean_ap) == (0, 2, 0.0)


def test_a_row_outside_the_gallery_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the gallery"):
        retrieval_metrics(np.ones((1, 3), np.float32), np.ones((4, 3), np.float32), [[4]])


def test_average_precision_of_all_first_is_one() -> None:
    assert average_precision(np.array([1, 2, 3])) == 1.0
    assert average_precision(np.array([2])) == 0.5


def test_the_first_relevant_of_an_order() -> None:
    order = np.array([[5, 3, 1], [2, 4, 6], [9, 8, 7]])
    assert ranks_of_first_among(order, [{1, 3}, {2}, {0}]).tolist() == [2, 1, 0]


def test_intersection_over_union_counts_pixels() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random((3, 7, 5)) < 0.5, rng.random((3, 7, 5)) < 0.5
    for found, a, b in zip(intersection_over_union(one, other), one, other, strict=True):
        both = sum(bool(x and y) for x, y in zip(a.flat, b.flat, strict=True))
        either = sum(bool(x or y) for x, y in zip(a.flat, b.flat, strict=True))
        assert found == pytest.approx(both / either)


def test_two_empty_masks_agree() -> None:
    nothing = np.zeros((1, 4, 4), dtype=bool)
    assert intersection_over_union(nothing, nothing).tolist() == [1.0]
    assert iou_summary(np.empty(0), "val") == {}


def test_balanced_accuracy_is_the_mean_over_classes() -> None:
    truth, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert balanced_accuracy(predicted, truth) == pytest.approx((2 / 3 + 1) / 2)


def test_what_a_diverged_network_gives_finds_nothing_first() -> None:
    broken = np.full((3, 4), np.nan, dtype=np.float32)
    found = retrieval_metrics(broken, np.eye(4, dtype=np.float32), [{0}, {1}, {2, 3}], ks=(1,))
    assert found.acc == {1: 0.0}
    assert found.ranks_of_first.tolist() == [4, 4, 3]
