from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from serving.crowd import Crowd

WAIT_S = 10.0


@contextmanager
def beside_another(crowd: Crowd) -> Iterator[None]:
    """Another computation of the crowd runs until the block ends."""
    inside, leave = threading.Event(), threading.Event()

    def held() -> None:
        inside.set()
        assert leave.wait(WAIT_S)

    with ThreadPoolExecutor(1) as other:
        running = other.submit(crowd.computation(held, lambda: held))
        assert inside.wait(WAIT_S)
        try:
            yield
        finally:
            leave.set()
        running.result(WAIT_S)


def test_beside_others_the_other_way_is_taken_and_left_again() -> None:
    crowd, made = Crowd(), []

    def make() -> Callable[[int], str]:
        made.append(1)
        return lambda number: f"together {number}"

    run = crowd.computation(lambda number: f"alone {number}", make)
    crowd.prepare()
    crowd.prepare()
    assert run(0) == "alone 0"
    with beside_another(crowd):
        assert [run(1), run(2)] == ["together 1", "together 2"]
    assert run(3) == "alone 3"
    assert made == [1]


def test_who_computes_never_makes_the_other_way() -> None:
    crowd = Crowd()
    run = crowd.computation(lambda: "alone", lambda: pytest.fail("nobody prepares"))
    with beside_another(crowd):
        assert run() == "alone"


def test_who_comes_while_the_other_way_is_made_does_not_wait() -> None:
    crowd = Crowd()
    making, made = threading.Event(), threading.Event()

    def make() -> Callable[[], str]:
        making.set()
        assert made.wait(WAIT_S)
        return lambda: "together"

    run = crowd.computation(lambda: "alone", make)
    with ThreadPoolExecutor(1) as follower, beside_another(crowd):
        preparing = follower.submit(crowd.prepare)
        assert making.wait(WAIT_S)
        assert run() == "alone"
        made.set()
        preparing.result(WAIT_S)
        assert run() == "together"


def test_what_nobody_uses_any_more_is_not_prepared() -> None:
    crowd = Crowd()
    crowd.computation(lambda: "alone", lambda: pytest.fail("it is gone"))
    gc.collect()
    crowd.prepare()


def test_one_that_fails_has_left() -> None:
    def fail() -> str:
        raise ValueError

    crowd = Crowd()
    with pytest.raises(ValueError):
        crowd.computation(fail, lambda: fail)()
    run = crowd.computation(lambda: "alone", lambda: lambda: "together")
    crowd.prepare()
    assert run() == "alone"
