"""The stages of one request: how long each took, and an end when the request's time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class DeadlinePassed(Exception):  # noqa: N818 - read as a sentence
    """The time of a request is over before it was answered."""


class Stages:
    """`took_ms` has the milliseconds of each stage in the order in which they began."""

    def __init__(self, deadline_s: float | None = None) -> None:
        """`deadline_s` is a moment of `time.monotonic`; None: no deadline."""
        self.took_ms: dict[str, float] = {}
        self._deadline_s = deadline_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that is named again adds up. Raises DeadlinePassed instead of beginning it too late."""
        if self._deadline_s is not None and time.monotonic() > self._deadline_s:
            raise DeadlinePassed
        start = time.perf_counter()
        yield
        took_ms = (time.perf_counter() - start) * 1000
        self.took_ms[name] = round(self.took_ms.get(name, 0.0) + took_ms, 2)
