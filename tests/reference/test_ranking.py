"""The figures of a retrieval beside what sorting the whole gallery gives."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.evaluation import summarise
from orchestration.ranking import joined, rank


def places(query: np.ndarray, gallery: np.ndarray, wanted: set[int]) -> list[int]:
    """The ranks, from 1, of the wanted rows, in a gallery sorted by score."""
    order = sorted(range(len(gallery)), key=lambda row: -float(query @ gallery[row]))
    return [place for place, row in enumerate(order, 1) if row in wanted]


@pytest.fixture(scope="module")
def retrieval() -> tuple[np.ndarray, np.ndarray, list[set[int]]]:
    random = np.random.default_rng(3)
    queries, gallery = random.normal(size=(50, 5)).astype(np.float32), random.normal(size=(80, 5)).astype(np.float32)
    relevant = [set(random.choice(80, size=size, replace=False).tolist()) for size in random.integers(0, 4, size=50)]
    return queries, gallery, relevant


@pytest.mark.parametrize("block_bytes", [1, 2000, 2**28])
def test_ranks_are_those_of_the_sorted_gallery(retrieval, block_bytes: int) -> None:
    queries, gallery, relevant = retrieval
    found = rank(queries, gallery, relevant, block_bytes=block_bytes)
    for query, wanted in enumerate(relevant):
        expected = places(queries[query], gallery, wanted)
        if not expected:
            assert not found.matched[query]
            assert found.precision[query] == found.percentile[query] == 0
            continue
        assert found.first[query] == expected[0]
        precisions = [hits / place for hits, place in enumerate(expected, 1)]
        assert found.precision[query] == pytest.approx(sum(precisions) / len(precisions))
        assert found.percentile[query] == pytest.approx(sum(expected) / len(expected) / 80)


def test_a_score_is_over_the_queries_with_a_match_and_counts_the_others(retrieval) -> None:
    queries, gallery, relevant = retrieval
    score = summarise(rank(queries, gallery, relevant))
    matched = [places(q, gallery, wanted) for q, wanted in zip(queries, relevant, strict=True) if wanted]
    assert (score.queries, score.skipped) == (len(matched), sum(not wanted for wanted in relevant))
    assert score.skipped > 0
    assert score.acc == pytest.approx(
        {k: sum(found[0] <= k for found in matched) / len(matched) for k in (1, 5, 10, 20, 50)}
    )
    assert score.rank_percentile == pytest.approx(np.mean([np.mean(found) / 80 for found in matched]))
    for name, value in (("acc_5", score.acc[5]), ("map", score.mean_ap), ("rank_percentile", score.rank_percentile)):
        low, high = score.intervals[name]
        assert low <= value <= high


def test_a_perfect_ranking_is_at_the_front_and_a_blind_one_at_the_back() -> None:
    vectors = np.eye(10, dtype=np.float32)
    own = [{row} for row in range(10)]
    assert summarise(rank(vectors, vectors, own)).rank_percentile == pytest.approx(0.1)
    same = np.ones_like(vectors)
    blind = summarise(rank(same, same, own))
    assert (blind.rank_percentile, blind.acc[5]) == (pytest.approx(1.0), 0.0)


def test_queries_of_several_galleries_are_joined_query_by_query(retrieval) -> None:
    queries, gallery, relevant = retrieval
    near = rank(queries[:20], gallery, relevant[:20])
    far = rank(queries[20:], gallery[:40], [{row for row in wanted if row < 40} for wanted in relevant[20:]])
    both = summarise(joined([near, far]))
    one, other = summarise(near), summarise(far)
    assert both.queries == one.queries + other.queries
    assert both.skipped == one.skipped + other.skipped
    weighed = (one.mean_ap * one.queries + other.mean_ap * other.queries) / both.queries
    assert both.mean_ap == pytest.approx(weighed)
    assert 40 < both.gallery < 80


def test_what_does_not_fit_together_is_refused(retrieval) -> None:
    queries, gallery, relevant = retrieval
    with pytest.raises(ValueError, match="sets of relevant"):
        rank(queries, gallery, relevant[:-1])
    with pytest.raises(ValueError, match="outside the gallery"):
        rank(queries[:1], gallery, [{80}])


def test_no_query_with_a_match_is_a_score_without_figures() -> None:
    score = summarise(rank(np.ones((3, 2), np.float32), np.ones((4, 2), np.float32), [set(), set(), set()]))
    assert (score.queries, score.skipped, score.gallery, score.intervals) == (0, 3, 4, {})
