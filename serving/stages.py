"""The stages of one request: how long each took, and an end when the request's time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol


class DeadlinePassed(Exception):  # noqa: N818 - read as a sentence
    """The time of a request is over before it was answered."""


class Trace(Protocol):
    """Who is told of a request's stages while they run."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Entered when the stage begins, left when it ends."""
        ...

    def note(self, **figures: str | int) -> None:
        """Figures of the whole request."""
        ...


class Untraced:
    """Nobody is told."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def note(self, **figures: str | int) -> None:
        """Nothing."""


_UNTRACED = Untraced()


class Stages:
    """`took_ms` has the milliseconds of each stage in the order in which they began."""

    def __init__(self, deadline_s: float | None = None, trace: Trace = _UNTRACED) -> None:
        """`deadline_s` is a moment of `time.monotonic`; None: no deadline."""
        self.took_ms: dict[str, float] = {}
        self.trace = trace
        self._deadline_s = deadline_s

    @property
    def left_s(self) -> float | None:
        """The seconds until the deadline, 0 past it; None: there is none."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - time.monotonic())

    def check(self) -> None:
        """Raise DeadlinePassed when it has: for work of many parts, between one and the next."""
        if self._deadline_s is not None and time.monotonic() > self._deadline_s:
            raise DeadlinePassed

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that is named again adds up. Raises DeadlinePassed instead of beginning it too late."""
        self.check()
        start = time.perf_counter()
        with self.trace.stage(name):
            yield
        took_ms = (time.perf_counter() - start) * 1000
        self.took_ms[name] = round(self.took_ms.get(name, 0.0) + took_ms, 2)
