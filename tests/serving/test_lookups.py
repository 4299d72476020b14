"""A slow index holds neither the searches, nor the probes, nor the counters; and lookups have an end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.problems import Problem
from serving.workers import Shared
from tests.serving.fixtures import until
from tests.serving.shop import Shop
from tests.serving.test_refusals import refused

LOOKUPS = ("/v1/release", "/v1/articles/a0", "/v1/articles/a0/image", "/v1/articles/a0/similar")


class SlowCollection:
    """A collection that answers nothing until the test is over."""

    def __init__(self) -> None:
        self.go_on, self.asked = threading.Event(), 0
        self.count = self.payloads = self.vectors = self.categories = self._wait

    def _wait(self, *_: object) -> object:
        self.asked += 1
        self.go_on.wait(20)
        raise ZeroDivisionError


@pytest.fixture
def slow(open_shop: Shop, request: pytest.FixtureRequest) -> Iterator[tuple[TestClient, SlowCollection]]:
    """A service with one thread for lookups and eight places in line, whose index has become slow."""
    settings = {"concurrent": 1, "queue": 0, "deadline_s": 0.5, **getattr(request, "param", {})}
    app = create_app(open_shop.settings.model_copy(update=settings))
    with ExitStack() as stack:
        client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
        until(lambda: client.get("/readyz").status_code == 200)
        searcher, collection = stack.enter_context(app.state.service.current.lease()), SlowCollection()
        held, searcher.collection = searcher.collection, collection
        stack.callback(setattr, searcher, "collection", held)
        stack.callback(collection.go_on.set)
        yield client, collection


@pytest.mark.parametrize("url", LOOKUPS)
def test_a_lookup_ends_with_its_time(slow: tuple[TestClient, SlowCollection], url: str) -> None:
    start = time.monotonic()
    refused(slow[0].get(url), 503, "deadline")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("slow", [{"deadline_s": 15}], indirect=True)
def test_more_lookups_than_fit_are_refused_and_all_else_answers(slow: tuple[TestClient, SlowCollection]) -> None:
    client, collection = slow

    def status(url: str) -> int:
        return client.get(url).status_code

    with ThreadPoolExecutor(60) as threads:
        waiting = [threads.submit(status, url) for url in (*LOOKUPS, *LOOKUPS, LOOKUPS[0])]  # one runs, eight wait
        until(lambda: client.app.state.service.lookups.are_full)  # type: ignore[attr-defined]
        for url in LOOKUPS:
            answer = client.get(url)
            refused(answer, 429, "busy")
            assert int(answer.headers["retry-after"]) > 0
        probes = [threads.submit(status, "/readyz") for _ in range(45)]  # more than any pool has threads
        until(lambda: collection.asked == 2)
        assert client.get("/healthz").status_code == 200
        assert "threadline_searches_in_progress 0.0" in client.get("/metrics").text
        assert not any(one.done() for one in (*waiting, *probes))
        collection.go_on.set()
        assert {one.result() for one in probes} == {500}
    assert collection.asked <= 2 + 8 + 5  # the probes asked once, but for some that began after the answer


def test_the_probe_answers_while_the_index_does_not(slow: tuple[TestClient, SlowCollection]) -> None:
    client, _ = slow
    for _ in range(3):
        refused(client.get("/readyz"), 503, "deadline")


def test_a_shared_computation_that_was_given_up_does_not_stand_in_the_way_for_ever() -> None:
    shared, go_on = Shared(0.2, "test"), threading.Event()

    async def ask() -> None:
        for _ in range(2):
            with pytest.raises(Problem) as given_up:
                await shared.run(lambda: go_on.wait(20))
            assert given_up.value.kind == "deadline"
        go_on.set()
        assert await shared.run(lambda: 23) == 23

    asyncio.run(ask())
    shared.close()
