"""How one release takes the place of another."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from contracts.errors import ThreadlineError
from contracts.registry import Release
from serving.app import create_app
from serving.index import open_index
from serving.inference import PackageSession
from serving.registry import MlflowRegistry
from serving.release import CurrentRelease, NoReleaseYet, ReleaseFollower, ReleaseLoader
from serving.search import Searcher
from tests.serving.fixtures import until
from tests.serving.shop import Shop

FIRST_HALF = ("a0", "a1", "a2", "a3", "a4", "a5")


class FakeSearcher:
    closed = 0
    prepared = 0

    def prepare(self) -> None:
        self.prepared += 1

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


class Panic(BaseException):
    """What the embedded engine raises when it fails within: no Exception."""


class PanickingSearcher:
    def close(self) -> None:
        raise Panic("the shard is damaged")


def test_what_does_not_close_fails_neither_the_last_request_nor_the_swap(caplog: pytest.LogCaptureFixture) -> None:
    current, new = CurrentRelease(), FakeSearcher()
    current.swap(PanickingSearcher())  # type: ignore[arg-type]
    with current.lease():
        current.swap(PanickingSearcher())  # type: ignore[arg-type]
    assert "does not close" in caplog.text and "the shard is damaged" in caplog.text
    current.swap(new)  # type: ignore[arg-type]
    with current.lease() as now:
        assert now is new


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
    error: BaseException = RuntimeError("broken")

    def __init__(self) -> None:
        self.loaded: list[Release] = []
        self.broken: set[str] = set()
        self.tries = 0

    def load(self, wanted: Release) -> Any:
        self.tries += 1
        if wanted.version in self.broken:
            raise self.error
        self.loaded.append(wanted)
        return FakeSearcher()


class Clock:
    """A clock that goes on when a test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("serving.release.monotonic", clock)
    return clock


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


def test_what_does_not_load_leaves_the_old_one_and_is_tried_again(followed, clock: Clock) -> None:
    follower, registry, loader, told = followed
    registry.says = release("1")
    follower.look()
    registry.says, loader.broken = release("2"), {"2"}
    follower.look()
    assert follower.problem == "version 2 with c does not load; the service's log says why"
    loader.broken = set()
    clock.now_s += 1
    follower.look()
    assert follower.problem is None
    assert told == [("1", True), ("2", False), ("2", True)]


def test_what_does_not_load_is_tried_ever_less_often_and_another_release_at_once(followed, clock: Clock) -> None:
    follower, registry, loader, told = followed
    registry.says, loader.broken = release("2"), {"2"}
    tried_s: list[float] = []
    for now_s in range(300):
        clock.now_s, before = now_s, loader.tries
        follower.look()
        assert follower.problem is not None
        tried_s += [now_s] * (loader.tries - before)
    assert tried_s == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    registry.says = release("3")
    follower.look()
    assert follower.problem is None and told[-1] == ("3", True)


def test_who_wakes_the_follower_does_not_wait_for_the_pause_to_end() -> None:
    registry, loader = FakeRegistry(), FakeLoader()
    follower = ReleaseFollower(registry, loader, CurrentRelease(), 600.0, lambda *_: None)  # type: ignore[arg-type]
    registry.says, loader.broken = release("2"), {"2"}
    follower.start()
    until(lambda: follower.problem is not None)
    loader.broken = set()
    follower.wake()
    until(lambda: follower.problem is None)
    follower.stop()


def test_a_panic_while_loading_is_told_and_the_follower_goes_on() -> None:
    registry, loader, current = FakeRegistry(), FakeLoader(), CurrentRelease()
    follower = ReleaseFollower(registry, loader, current, 600.0, lambda *_: None)  # type: ignore[arg-type]
    registry.says, loader.broken, loader.error = release("2"), {"2"}, Panic("the shard is damaged")
    follower.start()
    until(lambda: follower.problem is not None)
    registry.says = release("3")
    follower.wake()
    until(lambda: current.is_there)
    follower.stop()


def test_what_several_requests_at_once_need_is_made_once_the_release_serves(followed) -> None:
    follower, registry, _, told = followed
    registry.says = release("1")

    class FailingSearcher(FakeSearcher):
        def prepare(self) -> None:
            assert told == [("1", True)]
            self.prepared += 1
            raise Panic("no memory")

    searcher = FailingSearcher()
    follower._loader.load = lambda _: searcher
    follower.look()
    follower.look()
    assert searcher.prepared == 1 and follower.problem is None and searcher.closed == 0


def test_what_was_loaded_when_the_service_had_stopped_is_closed_and_never_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.release._STOP_S", 0.05)
    loading, go_on, searcher = threading.Event(), threading.Event(), FakeSearcher()

    class SlowLoader:
        def load(self, _: Release) -> Any:
            loading.set()
            assert go_on.wait(30)
            return searcher

    registry, current = FakeRegistry(), CurrentRelease()
    registry.says = release("1")
    follower = ReleaseFollower(registry, SlowLoader(), current, 600.0, lambda *_: None)  # type: ignore[arg-type]
    follower.start()
    assert loading.wait(30)
    follower.stop()  # does not wait until the release is loaded
    go_on.set()
    until(lambda: searcher.closed == 1)
    assert not current.is_there


def test_a_registry_that_is_away_is_told_soon_and_does_not_hold_up_the_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    registry = MlflowRegistry(address)  # nobody listens there any more
    follower = ReleaseFollower(registry, FakeLoader(), CurrentRelease(), 600.0, lambda *_: None)  # type: ignore[arg-type]
    follower.start()
    until(lambda: follower.problem is not None, limit_s=20)
    follower.stop()


def test_only_the_log_says_why_and_says_it_once(followed, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    follower, registry, _, _ = followed
    registry.says = ConnectionError("postgresql://threadline:hunter2@db.internal/mlflow refused")
    follower.look()
    follower.look()
    assert follower.problem == "the registry cannot be read; the service's log says why"
    assert len(caplog.messages) == 1 and "db.internal" in caplog.messages[0]
    registry.says = ConnectionError("another reason")
    follower.look()
    assert "another reason" in caplog.messages[1]


def test_a_package_that_is_open_stays_so_when_its_collection_fails(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, opened = shop.release(shop.package(1)), []
    settings = shop.settings

    def open_session(root: Path) -> PackageSession:
        opened.append(root)
        return PackageSession(root, threads=1)

    index = open_index(settings.home, None)
    loader = ReleaseLoader(shop.registry, index, settings.packages, settings.data, open_session)
    with pytest.raises(ThreadlineError):
        loader.load(replace(first, collection="nowhere"))
    with monkeypatch.context() as patched:
        patched.setattr(Searcher, "warm", lambda _: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                loader.load(first)
    loader.load(first).close()
    assert len(opened) == 1


def test_a_registry_that_is_away_or_empty_leaves_the_old_one(followed) -> None:
    follower, registry, _, told = followed
    registry.says = release("1")
    follower.look()
    registry.says = ConnectionError("away")
    follower.look()
    assert follower.problem == "the registry cannot be read; the service's log says why"
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
