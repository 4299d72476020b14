"""Looks: the best articles of each category, found with few searches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contracts.index import ArticleFilter, Hit
from serving.search import Searcher, Seen
from serving.stages import Stages
from tests.serving.test_release import release

DIMENSION = 8
NEAR = 40
"""Few enough for a small catalogue to have more."""


class CountingCollection:
    """Articles `a0`, `a1`, … of `categories` (N,) in memory; `asked` has the category of every search."""

    def __init__(self, categories: list[str], seed: int = 5) -> None:
        vectors = np.random.default_rng(seed).standard_normal((len(categories), DIMENSION))
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._categories = categories
        self.asked: list[str | None] = []

    def search(self, vectors: Any, k: int, where: ArticleFilter) -> list[list[Hit]]:
        self.asked.append(where.category)
        scores = self._vectors @ vectors[0]
        rows = [row for row in np.argsort(-scores) if where.category in (None, self._categories[row])]
        if where.in_stock:
            rows = [row for row in rows if row % 2]
        return [[Hit(f"a{row}", float(scores[row]), {"category": self._categories[row]}) for row in rows[:k]]]

    def categories(self) -> dict[str, int]:
        names, counts = np.unique(self._categories, return_counts=True)
        return dict(sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda each: -each[1]))


def categories_of(count: int, *, rare: int) -> list[str]:
    """`count` articles in four categories, and `rare` others that have one article each."""
    common = [f"common-{number % 4}" for number in range(count - rare)]
    return common + [f"rare-{number}" for number in range(rare)]


def seen() -> Seen:
    vector = np.random.default_rng(6).standard_normal(DIMENSION).astype(np.float32)
    return Seen(vector / np.linalg.norm(vector), None)


def look(collection: CountingCollection, k: int, where: ArticleFilter, most: int) -> dict[str, list[Hit]]:
    session: Any = SimpleNamespace(package=SimpleNamespace(files={}))
    return Searcher(release("1"), session, collection, features=None).look(seen(), k, where, most, Stages())  # type: ignore[arg-type]


def obvious_look(collection: CountingCollection, k: int, where: ArticleFilter, most: int) -> dict[str, list[Hit]]:
    """Every category searched by itself."""
    wanted = list(collection.categories()) if where.category is None else [where.category]
    each = {
        name: collection.search(seen().vector[None], k, ArticleFilter(name, in_stock=where.in_stock))[0]
        for name in wanted
    }
    return dict(sorted((one for one in each.items() if one[1]), key=lambda one: -one[1][0].score)[:most])


@pytest.mark.parametrize("count", [0, 3, NEAR, 400])
@pytest.mark.parametrize("rare", [0, 3])
@pytest.mark.parametrize("most", [1, 4, 6, 50])
@pytest.mark.parametrize(
    "where", [ArticleFilter(), ArticleFilter(in_stock=True), ArticleFilter("common-1"), ArticleFilter("none")]
)
def test_a_look_finds_what_a_search_of_every_category_finds(
    count: int, rare: int, most: int, where: ArticleFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.search._NEAR", NEAR)
    collection = CountingCollection(categories_of(count, rare=min(rare, count)))
    for k in (1, 5, 50):
        found, expected = look(collection, k, where, most), obvious_look(collection, k, where, most)
        assert list(found.items()) == list(expected.items())


def test_a_look_at_a_small_catalogue_is_one_search() -> None:
    collection = CountingCollection(categories_of(400, rare=9))
    assert len(look(collection, 5, ArticleFilter(), 8)) == 8
    assert collection.asked == [None]


def test_a_look_searches_no_more_categories_than_are_wanted() -> None:
    collection = CountingCollection([f"c{number % 200}" for number in range(20_000)])
    assert len(look(collection, 5, ArticleFilter(), 8)) == 8
    assert collection.asked[0] is None and 1 < len(collection.asked) <= 1 + 8


def test_only_when_too_few_categories_are_near_the_others_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.search._NEAR", NEAR)
    collection = CountingCollection(categories_of(400, rare=3))
    look(collection, 5, ArticleFilter(), 4)
    assert collection.asked == [None]  # all four are among the closest, five times each
    collection.asked.clear()
    look(collection, 5, ArticleFilter(), 7)
    assert sorted(collection.asked[1:], key=str) == ["rare-0", "rare-1", "rare-2"]
