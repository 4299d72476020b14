"""What k-reciprocal re-ranking adds, against a slow, obvious computation, and where it must say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestration import reranking
from orchestration.reranking import Gain, k_reciprocal_gain
from serving.ordering import K_RECIPROCAL_DEPTH, k_reciprocal

Floats = NDArray[np.float32]


def unit(vectors: NDArray[np.float64]) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(seed: int, spread: float, size: int) -> tuple[Floats, Floats, list[set[int]]]:
    """Queries near one of a few centres, and a gallery of whose items those of the query's centre are right."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(12, 16))
    owner = random.integers(0, 12, size)
    gallery = unit(centres[owner] + random.normal(0, spread, (size, 16)))
    asked = random.integers(0, 12, 30)
    queries = unit(centres[asked] + random.normal(0, spread, (30, 16)))
    return queries, gallery, [set(np.flatnonzero(owner == one).tolist()) for one in asked]


def obvious_precision(order: list[int], relevant: set[int]) -> float:
    found, total = 0, 0.0
    for place, item in enumerate(order, 1):
        if item in relevant:
            found += 1
            total += found / place
    return total / len(relevant)


def gained(queries: Floats, gallery: Floats, relevant: list[set[int]]) -> Gain:
    gain = k_reciprocal_gain(queries, gallery, relevant)
    assert gain is not None
    return gain


@pytest.mark.parametrize("size", [60, 400])
def test_it_is_what_the_service_would_answer(size: int) -> None:
    queries, gallery, relevant = clustered(1, 1.2, size)
    plain, reranked = [], []
    for query, shown in zip(queries, relevant, strict=True):
        order = sorted(range(size), key=lambda row, query=query: -float(gallery[row] @ query))
        closest = order[:K_RECIPROCAL_DEPTH]
        again = [closest[place] for place in k_reciprocal(query, gallery[closest])]
        plain.append(obvious_precision(order, shown))
        reranked.append(obvious_precision(again + order[K_RECIPROCAL_DEPTH:], shown))
    found = gained(queries, gallery, relevant)
    assert found.queries == 30
    assert found.plain == pytest.approx(np.mean(plain), abs=1e-6)
    assert found.reranked == pytest.approx(np.mean(reranked), abs=1e-6)
    assert found.low <= found.reranked - found.plain <= found.high


def test_it_is_sure_where_neighbourhoods_tell_more_than_the_query() -> None:
    found = gained(*clustered(2, 1.0, 400))
    assert found.sure == pytest.approx(found.low) and found.sure > 0.02


def test_it_is_not_sure_where_neighbours_tell_nothing() -> None:
    random = np.random.default_rng(3)
    gallery = unit(random.normal(size=(300, 64)))
    queries = unit(gallery[:40] + 0.14 * random.normal(size=(40, 64)))
    assert gained(queries, gallery, [{row} for row in range(40)]).sure == 0.0


def test_queries_without_a_match_are_left_out_and_many_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery, relevant = clustered(4, 1.0, 100)
    assert k_reciprocal_gain(queries, gallery, [set() for _ in relevant]) is None
    assert k_reciprocal_gain(queries[:0], gallery, []) is None
    relevant[3] = set()
    assert gained(queries, gallery, relevant).queries == 29
    monkeypatch.setattr(reranking, "MOST_QUERIES", 10)
    assert gained(queries, gallery, relevant).queries == 10
