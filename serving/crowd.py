"""One way to compute alone, another beside others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Crowd:
    """Knows whether several of its computations run at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0

    def computation(self, alone: Callable[P, R], make_together: Callable[[], Callable[P, R]]) -> Callable[P, R]:
        """`alone` while no other computation of the crowd runs, else what `make_together` gives.

        That is made once, when it is wanted first; who comes meanwhile goes on as if alone.
        """
        together: list[Callable[P, R]] = []
        making = threading.Lock()

        def chosen() -> Callable[P, R]:
            if not together and making.acquire(blocking=False):
                together.append(make_together())
            return together[0] if together else alone

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._entered() as others:
                return (chosen() if others else alone)(*args, **kwargs)

        return run

    @contextmanager
    def _entered(self) -> Iterator[int]:
        """How many run beside the caller, who runs until the end."""
        with self._lock:
            others, self._running = self._running, self._running + 1
        try:
            yield others
        finally:
            with self._lock:
                self._running -= 1
