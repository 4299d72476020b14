from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.crowd import Crowd

WAIT_S = 10.0


def test_what_runs_alone_never_makes_the_other_way() -> None:
    run = Crowd().computation(lambda number: ("alone", number), lambda: pytest.fail("nobody else runs"))
    assert [run(number) for number in range(3)] == [("alone", 0), ("alone", 1), ("alone", 2)]


def test_beside_others_the_other_way_is_made_once_and_left_again() -> None:
    crowd, made = Crowd(), []
    inside, leave = threading.Event(), threading.Event()

    def held(_: int) -> str:
        inside.set()
        assert leave.wait(WAIT_S)
        return "held"

    def make() -> Callable[[int], str]:
        made.append(1)
        return lambda number: f"together {number}"

    hold = crowd.computation(held, lambda: held)
    run = crowd.computation(lambda number: f"alone {number}", make)
    with ThreadPoolExecutor(1) as other:
        running = other.submit(hold, 0)
        assert inside.wait(WAIT_S)
        assert [run(1), run(2)] == ["together 1", "together 2"]
        leave.set()
        assert running.result(WAIT_S) == "held"
    assert run(3) == "alone 3"
    assert made == [1]


def test_who_comes_while_the_other_way_is_made_does_not_wait() -> None:
    crowd = Crowd()
    making, made = threading.Event(), threading.Event()

    def make() -> Callable[[], str]:
        making.set()
        assert made.wait(WAIT_S)
        return lambda: "together"

    run = crowd.computation(lambda: "alone", make)
    nested = crowd.computation(lambda: run(), lambda: run)  # run is never alone within it
    with ThreadPoolExecutor(1) as other:
        first = other.submit(nested)
        assert making.wait(WAIT_S)
        assert run() == "alone"
        made.set()
        assert first.result(WAIT_S) == "together"


def test_one_that_fails_has_left() -> None:
    def fail() -> str:
        raise ValueError

    crowd = Crowd()
    with pytest.raises(ValueError):
        crowd.computation(fail, lambda: fail)()
    assert crowd.computation(lambda: "alone", lambda: pytest.fail("nobody else runs"))() == "alone"
