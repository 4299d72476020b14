"""How one release takes the place of another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from contracts.registry import Release
from serving.app import create_app
from serving.index import open_index
from serving.release import CurrentRelease, NoReleaseYet, ReleaseFollower
from tests.serving.fixtures import until
from tests.serving.shop import Shop

FIRST_HALF = ("a0", "a1", "a2", "a3", "a4", "a5")


class FakeSearcher:
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_nothing_is_leased_before_the_first_release() -> None:
    with pytest.raises(NoReleaseYet), CurrentRelease().lease():
        pass


def test_the_old_one_is_closed_once_when_its_last_request_ends() -> None:
    current, old, new = CurrentRelease(), FakeSearcher(), FakeSearcher()
    current.swap(old)  # type: ignore[arg-type]
    with current.lease() as one:
        with current.lease() as other:
            current.swap(new)  # type: ignore[arg-type]
            assert one is other is old
            with current.lease() as now:
                assert now is new
        assert old.closed == 0
    assert old.closed == 1 and new.closed == 0
    current.swap(None)
    assert new.closed == 1


def test_a_request_that_fails_gives_its_lease_back() -> None:
    current, searcher = CurrentRelease(), FakeSearcher()
    current.swap(searcher)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), current.lease():
        raise ZeroDivisionError
    current.swap(None)
    assert searcher.closed == 1


def release(version: str, collection: str = "c") -> Release:
    return Release(version, f"digest-{version}", "m", collection, "", "", "")


class FakeRegistry:
    """A registry that names what a test wants, or fails."""

    says: Any = None

    def champion(self) -> Release | None:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class FakeLoader:
    def __init__(self) -> None:
        self.loaded: list[Release] = []
        self.broken: set[str] = set()

    def load(self, wanted: Release) -> Any:
        if wanted.version in self.broken:
            raise RuntimeError("broken")
        self.loaded.append(wanted)
        return FakeSearcher()


@pytest.fixture
def followed() -> tuple[ReleaseFollower, FakeRegistry, FakeLoader, list]:
    registry, loader, told = FakeRegistry(), FakeLoader(), []
    follower = ReleaseFollower(registry, loader, CurrentRelease(), 1.0, lambda one, ok: told.append((one.version, ok)))  # type: ignore[arg-type]
    return follower, registry, loader, told


def test_a_release_is_loaded_once(followed) -> None:
    follower, registry, loader, told = followed
    registry.says = release("1")
    follower.look()
    follower.look()
    assert told == [("1", True)]
    registry.says = release("1", "c-2")
    follower.look()
    assert [one.collection for one in loader.loaded] == ["c", "c-2"]


def test_what_does_not_load_leaves_the_old_one_and_is_tried_again(followed) -> None:
    follower, registry, loader, told = followed
    registry.says = release("1")
    follower.look()
    registry.says, loader.broken = release("2"), {"2"}
    follower.look()
    assert follower.problem == "version 2 with c does not load: broken"
    loader.broken = set()
    follower.look()
    assert follower.problem is None
    assert told == [("1", True), ("2", False), ("2", True)]


def test_a_registry_that_is_away_or_empty_leaves_the_old_one(followed) -> None:
    follower, registry, _, told = followed
    registry.says = release("1")
    follower.look()
    registry.says = ConnectionError("away")
    follower.look()
    assert follower.problem == "the registry cannot be read: away"
    registry.says = None
    follower.look()
    assert follower.problem is None and told == [("1", True)]


def test_a_swap_under_load_fails_no_request_and_mixes_nothing(shop: Shop) -> None:
    """Clients search while releases change; every answer is that of one release, whole."""
    first = shop.release(shop.package(1), FIRST_HALF)
    stop = threading.Event()
    with TestClient(create_app(shop.settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(_search_until, stop, client, shop, article_id) for article_id in FIRST_HALF[:4]]
            second = shop.release(shop.package(2))
            until(lambda: _version(client) == second.version)
            shop.registry.publish(first.version, first.collection)  # back again
            until(lambda: _version(client) == first.version)
            stop.set()
            answers = [answer for one in clients for answer in one.result()]
    sizes = {(first.version, first.collection): 6, (second.version, second.collection): 12}
    assert {(answer["release"], answer["collection"]) for answer in answers} == set(sizes)
    for answer in answers:
        assert len(answer["results"]) == sizes[answer["release"], answer["collection"]]


def _search_until(stop: threading.Event, client: TestClient, shop: Shop, article_id: str) -> list[dict[str, Any]]:
    photo, answers = shop.photo(article_id), []
    while not stop.is_set():
        answer = client.post("/v1/search", files={"photo": ("p", photo)}, data={"k": "100"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"][0]["article_id"] == article_id
        answers.append(answer.json())
    return answers


def _version(client: TestClient) -> str:
    return client.get("/v1/release").json()["version"]


def test_changed_articles_are_served_without_loading_the_package_again(shop: Shop) -> None:
    root = shop.package(1)
    first = shop.release(root, FIRST_HALF)
    with TestClient(create_app(shop.settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        with client.app.state.service.current.lease() as before:  # type: ignore[attr-defined]
            made = open_index(shop.settings.home, None).reconcile(f"c{first.version}", shop.points(root))
            shop.registry.publish(first.version, made.reference)
            until(lambda: client.get("/v1/release").json()["articles"] == 12)
            assert before.collection.count() == 6  # a request that began before goes on with what it had
            with client.app.state.service.current.lease() as after:  # type: ignore[attr-defined]
                assert after.session is before.session


def test_a_release_whose_collection_is_gone_is_told_and_not_served(shop: Shop) -> None:
    first = shop.release(shop.package(1))
    with TestClient(create_app(shop.settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        shop.registry.publish(first.version, "nowhere")
        until(lambda: client.get("/readyz").json()["problem"] is not None)
        assert client.get("/v1/release").json()["collection"] == first.collection
        assert 'threadline_release_loads_total{outcome="failed"}' in client.get("/metrics").text
