"""Computation away from the event loop: so many at once, and the others wait, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import anyio
from anyio import to_thread

from serving.problems import Problem

T = TypeVar("T")


class Workers:
    """Runs at most `concurrent` computations at once."""

    def __init__(self, concurrent: int, wait_s: float) -> None:
        self._slots = anyio.Semaphore(concurrent)
        self._wait_s = wait_s

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread. Raises Problem 503 when no slot is free within `wait_s`."""
        try:
            with anyio.fail_after(self._wait_s):
                await self._slots.acquire()
        except TimeoutError as error:
            detail = "too many searches at once; try again in a moment"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, {"Retry-After": "1"}) from error
        try:
            return await to_thread.run_sync(work)
        finally:
            self._slots.release()
