"""Every backend of the index must answer as a slow, obvious search does."""

from __future__ import annotations

import os
import socket
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from contracts.errors import ThreadlineError
from contracts.index import ArticleFilter, ArticleIndex, IndexUnavailable, Points
from serving.index import open_index
from serving.index.edge import EdgeIndex
from serving.index.server import ServerIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

DIMENSION = 24
CATEGORIES = ("dress", "shirt", "top")
ASSORTMENTS = ("spring", "sale", "müde")
FILTERS = (
    None,
    ArticleFilter(),
    ArticleFilter(category="dress"),
    ArticleFilter(assortment="sale"),
    ArticleFilter(category="top", assortment="spring"),
    ArticleFilter(category="hat"),
    ArticleFilter(attributes={"colour": ("blue",)}),
    ArticleFilter(attributes={"colour": ("blue", "müde"), "fit [cm]. 'wide'": ("3",)}),
    ArticleFilter(price_min=3.0),
    ArticleFilter(price_max=6.0, in_stock=True),
    ArticleFilter(category="dress", attributes={"colour": ("red",)}, price_min=2.0, price_max=7.0, in_stock=True),
)


@pytest.fixture(params=["edge", "full", "memory", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> ArticleIndex:
    if request.param == "edge":
        return EdgeIndex(tmp_path / "index")
    if request.param == "full":
        return EdgeIndex(tmp_path / "index", quantised=False)
    if request.param == "memory":
        return ServerIndex(QdrantClient(":memory:"))
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("QDRANT_URL names no server")
    return open_index(tmp_path, url, os.environ.get("QDRANT_API_KEY"))


@pytest.fixture
def name(index: ArticleIndex) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    for reference in index.references():
        if reference.partition("/")[0] == name:
            index.drop(reference)


def make(count: int, seed: int = 0, dimension: int = DIMENSION) -> dict[str, dict[str, Any]]:
    """Articles by id: a vector, its digest, and a payload."""
    random = np.random.default_rng(seed)
    return {f"a/{number}": article(random, f"a/{number}", dimension) for number in range(count)}


def article(random: np.random.Generator, article_id: str, dimension: int = DIMENSION) -> dict[str, Any]:
    vector = random.normal(size=dimension)
    payload = {
        "article_id": article_id,
        "name": "Kleid “Été” 🧵",
        "category": str(random.choice(CATEGORIES)),
        "assortments": [each for each in ASSORTMENTS if random.random() < 0.5],
        "attributes": {"colour": str(random.choice(["blue", "red"])), "fit [cm]. 'wide'": str(random.integers(1, 5))},
        "price": float(random.integers(1, 9)) if random.random() < 0.9 else None,
        "in_stock": [True, False, None][random.integers(0, 3)],
        "url": None,
    }
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return {"vector": unit, "digest": unit.tobytes().hex()[:16], "payload": payload}


def points(articles: dict[str, dict[str, Any]], dimension: int = DIMENSION) -> Points:
    vectors = [each["vector"] for each in articles.values()]
    return Points(
        article_ids=tuple(articles),
        vectors=np.stack(vectors) if vectors else np.zeros((0, dimension), np.float32),
        vector_digests=tuple(each["digest"] for each in articles.values()),
        payloads=tuple(each["payload"] for each in articles.values()),
    )


def passes(payload: dict[str, Any], where: ArticleFilter | None) -> bool:
    if where is None:
        return True
    price = payload["price"]
    return (
        where.category in (None, payload["category"])
        and (where.assortment is None or where.assortment in payload["assortments"])
        and all(payload["attributes"].get(name) in values for name, values in where.attributes.items())
        and (where.price_min is None or (price is not None and price >= where.price_min))
        and (where.price_max is None or (price is not None and price <= where.price_max))
        and (not where.in_stock or payload["in_stock"] is True)
    )


def brute_force(
    articles: dict[str, dict[str, Any]], query: NDArray[np.float32], k: int, where: ArticleFilter | None
) -> list[tuple[str, float]]:
    scored = [
        (key, float(each["vector"] @ query) / float(np.linalg.norm(query)))
        for key, each in articles.items()
        if passes(each["payload"], where)
    ]
    return sorted(scored, key=lambda pair: -pair[1])[:k]


def queries(count: int, seed: int = 99) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def assert_holds(index: ArticleIndex, reference: str, articles: dict[str, dict[str, Any]]) -> None:
    """The collection holds exactly `articles` and searches them like the reference."""
    collection = index.open(reference)
    try:
        assert collection.count() == len(articles)
        vectors, payloads = collection.vectors([*articles, "nobody"]), collection.payloads([*articles, "nobody"])
        assert payloads == {key: each["payload"] for key, each in articles.items()}
        assert set(vectors) == set(articles)
        for key, each in articles.items():
            assert vectors[key].dtype == np.float32
            np.testing.assert_allclose(vectors[key], each["vector"], atol=1e-5)
        asked = queries(3)
        for where in FILTERS:
            for query, hits in zip(asked, collection.search(asked, 5, where), strict=True):
                expected = brute_force(articles, query, 5, where)
                assert [hit.article_id for hit in hits] == [key for key, _ in expected]
                np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)
                assert all(hit.payload == articles[hit.article_id]["payload"] for hit in hits)
    finally:
        collection.close()


def test_answers_as_a_brute_force_search_does(index: ArticleIndex, name: str) -> None:
    articles = make(200)
    made = index.reconcile(name, points(articles))
    assert (made.count, made.vectors_written, made.payloads_written, made.deleted) == (200, 200, 0, 0)
    assert made.reference in index.references()
    assert_holds(index, made.reference, articles)


def test_categories_are_counted(index: ArticleIndex, name: str) -> None:
    articles = make(50)
    collection = index.open(index.reconcile(name, points(articles)).reference)
    counted = collection.categories()
    assert counted == Counter(each["payload"]["category"] for each in articles.values())
    assert list(counted.values()) == sorted(counted.values(), reverse=True)
    collection.close()


@pytest.mark.parametrize("named", ["", 'a"b'])
def test_an_attribute_that_no_backend_can_ask_for(named: str) -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        ArticleFilter(attributes={named: ("x",)})


def test_a_server_that_is_away_or_slow_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = ServerIndex(QdrantClient(port=silent.getsockname()[1], timeout=1, check_compatibility=False))
        with pytest.raises(IndexUnavailable, match="does not answer"):
            slow.open("articles")
        away = slow
    with pytest.raises(IndexUnavailable, match="does not answer"):
        away.open("articles")


def test_more_queries_than_fit_one_request(index: ArticleIndex, name: str) -> None:
    articles = make(30)
    collection = index.open(index.reconcile(name, points(articles)).reference)
    asked = queries(150)
    answers = collection.search(asked, 2)
    assert [answer[0].article_id for answer in answers] == [brute_force(articles, q, 1, None)[0][0] for q in asked]
    assert collection.search(asked[:0], 3) == []
    collection.close()


@pytest.mark.parametrize(("k", "found"), [(0, 0), (3, 3), (7, 7), (50, 7)])
def test_k_against_the_count(index: ArticleIndex, name: str, k: int, found: int) -> None:
    collection = index.open(index.reconcile(name, points(make(7))).reference)
    hits = collection.search(queries(1), k)[0]
    assert len(hits) == found
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    collection.close()


def test_an_empty_collection_can_be_made_opened_and_filled(index: ArticleIndex, name: str) -> None:
    empty = index.reconcile(name, points({}))
    assert empty.count == 0
    collection = index.open(empty.reference)
    assert collection.count() == 0
    assert collection.search(queries(2), 5) == [[], []]
    assert collection.vectors(["a/1"]) == {}
    assert collection.payloads([]) == {}
    collection.close()
    articles = make(3)
    assert index.reconcile(name, points(articles)).vectors_written == 3
    assert_holds(index, index.reconcile(name, points(articles)).reference, articles)
    assert index.reconcile(name, points({})).deleted == 3


def test_reconciling_again_writes_nothing(index: ArticleIndex, name: str) -> None:
    articles = make(40)
    first = index.reconcile(name, points(articles))
    shuffled = dict(sorted(articles.items(), key=lambda pair: pair[1]["digest"]))
    again = index.reconcile(name, points(shuffled))
    assert again.reference == first.reference
    assert (again.count, again.vectors_written, again.payloads_written, again.deleted) == (40, 0, 0, 0)


def test_only_what_differs_is_written(index: ArticleIndex, name: str) -> None:
    articles = make(40)
    index.reconcile(name, points(articles))
    random = np.random.default_rng(5)
    for number in (3, 4):
        articles[f"a/{number}"] = article(random, f"a/{number}")
    for number in (7, 8, 9):
        cheaper = {"price": 99.5, "name": "cheaper"}
        articles[f"a/{number}"] = articles[f"a/{number}"] | {"payload": articles[f"a/{number}"]["payload"] | cheaper}
    without_url = {key: value for key, value in articles["a/10"]["payload"].items() if key != "url"}
    articles["a/10"] = articles["a/10"] | {"payload": without_url}
    articles["new"] = article(random, "new")
    for number in (20, 21, 22, 23):
        del articles[f"a/{number}"]
    made = index.reconcile(name, points(articles))
    assert (made.count, made.vectors_written, made.payloads_written, made.deleted) == (37, 3, 4, 4)
    assert_holds(index, made.reference, articles)


def test_a_vector_is_known_by_its_digest_not_by_its_floats(index: ArticleIndex, name: str) -> None:
    articles = make(5)
    index.reconcile(name, points(articles))
    noise = np.random.default_rng(1).normal(0, 1e-4, DIMENSION).astype(np.float32)
    moved = {key: each | {"vector": each["vector"] + noise} for key, each in articles.items()}
    assert index.reconcile(name, points(moved)).vectors_written == 0


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes_ends_equal_to_a_fresh_build(index: ArticleIndex, name: str, seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    articles = make(30, seed)
    reference = index.reconcile(name, points(articles)).reference
    for _ in range(6):
        for key in list(articles):
            roll = random.random()
            if roll < 0.1:
                del articles[key]
            elif roll < 0.2:
                articles[key] = article(random, key)
            elif roll < 0.3:
                articles[key] = articles[key] | {"payload": article(random, key)["payload"]}
        for number in random.integers(0, 60, 4):
            articles.setdefault(f"a/{number}", article(random, f"a/{number}"))
        reference = index.reconcile(name, points(articles)).reference
    assert_holds(index, reference, articles)


def test_articles_that_share_a_vector_are_no_error(index: ArticleIndex, name: str) -> None:
    articles = make(6)
    for each in articles.values():
        each["vector"] = articles["a/0"]["vector"]
    assert index.reconcile(name, points(articles)).count == 6


def test_many_threads_read_at_once(index: ArticleIndex, name: str) -> None:
    articles = make(60)
    collection = index.open(index.reconcile(name, points(articles)).reference)
    asked = queries(40)

    def first(row: int) -> str:
        return collection.search(asked[row : row + 1], 3)[0][0].article_id

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(first, range(40))) == [brute_force(articles, q, 1, None)[0][0] for q in asked]
    collection.close()


def test_dropping(index: ArticleIndex, name: str) -> None:
    reference = index.reconcile(name, points(make(3))).reference
    index.drop(reference)
    index.drop(reference)
    assert reference not in index.references()
    with pytest.raises(ThreadlineError, match="there is no collection"):
        index.open(reference)
    assert index.reconcile(name, points(make(3))).vectors_written == 3


def test_points_that_contradict_themselves_are_refused(index: ArticleIndex, name: str) -> None:
    articles = make(3)
    good = points(articles)
    twice = Points(("a/0", "a/0"), good.vectors[:2], good.vector_digests[:2], good.payloads[:2])
    longer = Points(good.article_ids, good.vectors * 2, good.vector_digests, good.payloads)
    broken = Points(good.article_ids, good.vectors * np.float32(np.nan), good.vector_digests, good.payloads)
    short = Points(good.article_ids, good.vectors[:2], good.vector_digests, good.payloads)
    crossed = Points(good.article_ids, good.vectors, good.vector_digests, good.payloads[::-1])
    for wrong, words in (
        (twice, "twice"),
        (longer, "unit length"),
        (broken, "unit length"),
        (short, "one length"),
        (crossed, "another article"),
    ):
        with pytest.raises(ThreadlineError, match=words):
            index.reconcile(name, wrong)
    assert not [each for each in index.references() if each.startswith(name)]
