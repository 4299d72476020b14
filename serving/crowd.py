"""One way to compute alone, another beside others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
R = TypeVar("R")


class Computation(Generic[P, R]):
    """`alone` while no other computation of its crowd runs, else what `make_together` gave, once it was made."""

    def __init__(self, crowd: Crowd, alone: Callable[P, R], make_together: Callable[[], Callable[P, R]]) -> None:
        self._crowd = crowd
        self._alone = self._together = alone
        self._make: Callable[[], Callable[P, R]] | None = make_together

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the way that fits gives. Safe to call from several threads."""
        with self._crowd.entered() as others:
            return (self._together if others else self._alone)(*args, **kwargs)

    def prepare(self) -> None:
        """Make the way for several, unless that was done."""
        if self._make is not None:
            self._together, self._make = self._make(), None


class Crowd:
    """Knows whether several of its computations run at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._preparing = threading.Lock()
        self._running = 0
        self._computations: WeakSet[Any] = WeakSet()  # mypy cannot say: computations of any kind

    def computation(self, alone: Callable[P, R], make_together: Callable[[], Callable[P, R]]) -> Computation[P, R]:
        """`alone`, or beside others what `make_together` gives, once `prepare` made it: who computes never waits."""
        made = Computation(self, alone, make_together)
        self._computations.add(made)
        return made

    def prepare(self) -> None:
        """Make the way for several of each computation that is still used."""
        with self._preparing:
            for each in list(self._computations):
                each.prepare()

    @contextmanager
    def entered(self) -> Iterator[int]:
        """How many run beside the caller, who runs until the end."""
        with self._lock:
            others, self._running = self._running, self._running + 1
        try:
            yield others
        finally:
            with self._lock:
                self._running -= 1
