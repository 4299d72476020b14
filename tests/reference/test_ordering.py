"""Diverse and k-reciprocal orders against slow, obvious ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.ordering import diverse, k_reciprocal

Floats = NDArray[np.float32]


def unit(count: int, dimension: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def obvious_diverse(relevance: Floats, vectors: Floats, k: int, diversity: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        best, best_value = -1, -np.inf
        for row in range(len(relevance)):
            if row in chosen:
                continue
            alike = max((float(vectors[row] @ vectors[one]) for one in chosen), default=0.0)
            value = (1 - diversity) * float(relevance[row]) - diversity * alike
            if value > best_value + 1e-9:
                best, best_value = row, value
        chosen.append(best)
    return chosen


def obvious_k_reciprocal(query: Floats, candidates: Floats, near: int, expand: int, weight: float) -> Floats:
    """The distances, with sets and loops, as the paper writes them."""
    vectors = [query, *candidates]
    count = len(vectors)
    distance = np.array([[float(np.sum((one - other) ** 2)) for other in vectors] for one in vectors])
    distance = distance / distance.max(axis=1, keepdims=True)
    order = [sorted(range(count), key=lambda at, row=row: (distance[row][at], at)) for row in range(count)]

    def reciprocal(row: int, k: int) -> set[int]:
        return {at for at in order[row][: k + 1] if row in order[at][: k + 1]}

    encoded = np.zeros((count, count))
    for row in range(count):
        members = reciprocal(row, near)
        grown = set(members)
        for member in members:
            theirs = reciprocal(member, round(near / 2))
            if len(theirs & members) >= 2 / 3 * len(theirs):
                grown |= theirs
        for member in grown:
            encoded[row, member] = np.exp(-distance[row, member])
        encoded[row] /= encoded[row].sum()
    expanded = np.array([np.mean([encoded[at] for at in order[row][:expand]], axis=0) for row in range(count)])
    found = []
    for row in range(1, count):
        low = sum(min(a, b) for a, b in zip(expanded[0], expanded[row], strict=True))
        high = sum(max(a, b) for a, b in zip(expanded[0], expanded[row], strict=True))
        found.append(weight * distance[0, row] + (1 - weight) * (1 - low / high))
    return np.array(found)


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_diverse_is_maximal_marginal_relevance(k: int, diversity: float) -> None:
    vectors, query = unit(40, 16, 1), unit(1, 16, 2)[0]
    relevance = vectors @ query
    assert diverse(relevance, vectors, k, diversity) == obvious_diverse(relevance, vectors, k, diversity)


def test_without_diversity_the_order_is_that_of_relevance() -> None:
    vectors, query = unit(30, 8, 3), unit(1, 8, 4)[0]
    relevance = vectors @ query
    assert diverse(relevance, vectors, 30, 0.0) == list(np.argsort(-relevance, kind="stable"))


@pytest.mark.parametrize("seed", range(4))
def test_k_reciprocal_is_what_the_paper_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    centres = unit(5, 12, seed)
    rows = centres[random.integers(0, 5, 40)] + random.normal(0, 0.15, (40, 12))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    expected = obvious_k_reciprocal(vectors[0], vectors[1:], 8, 3, 0.3)
    order = k_reciprocal(vectors[0], vectors[1:], near=8, expand=3, weight=0.3)
    assert np.all(np.diff(expected[order]) >= -1e-5)
    assert sorted(order) == list(range(39))


def test_candidates_that_are_all_the_same_keep_their_order() -> None:
    vectors = np.repeat(unit(1, 8, 5), 60, axis=0)
    assert k_reciprocal(vectors[0], vectors) == list(range(60))


def test_few_candidates() -> None:
    vectors = unit(3, 6, 9)
    assert k_reciprocal(vectors[0], vectors[1:2]) == [0]
    assert sorted(k_reciprocal(vectors[0], vectors[1:])) == [0, 1]
    assert diverse(np.zeros(0, np.float32), np.zeros((0, 6), np.float32), 5, 0.5) == []
