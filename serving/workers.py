"""Computation away from the event loop: so many at once, so many waiting in line, and each answered in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request

from serving.problems import busy, late
from serving.stages import DeadlinePassed

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns; None, and `work` is cancelled, when the client goes away before. The body has been read."""
    working, going = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        going.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Workers:
    """Runs at most `concurrent` computations at once, first come, first served, while at most `queue` wait."""

    def __init__(self, concurrent: int, queue: int, deadline_s: float, name: str) -> None:
        """A computation that is not done `deadline_s` after it was asked for is given up."""
        self.deadline_s = deadline_s
        self.places = concurrent + queue
        self._taken = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(concurrent, thread_name_prefix=name)

    @property
    def taken(self) -> int:
        """How many computations run or wait."""
        return self._taken

    @property
    def are_full(self) -> bool:
        """Whether the next computation would be refused."""
        return self._taken >= self.places

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread. Raises Problem 429 when the line is full, 503 past the deadline.

        Who is cancelled before the work has begun leaves the line.
        """
        future = self._submit(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.deadline_s)
        except (TimeoutError, DeadlinePassed) as error:
            # What has not begun is taken out of the line; what runs keeps its thread until it ends by itself.
            raise late(self.deadline_s) from error

    def close(self) -> None:
        """Finish what was begun, and take nothing more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            if self.are_full:
                raise busy()
            self._taken += 1
        future = self._threads.submit(work)
        future.add_done_callback(self._left)
        return future

    def _left(self, _: Future[T]) -> None:
        with self._lock:
            self._taken -= 1


class Shared:
    """Runs one computation at a time, for everybody who asks while it runs: any number may, and none waits in line."""

    def __init__(self, deadline_s: float, name: str) -> None:
        """A computation that is not done `deadline_s` after it was asked for is given up."""
        self._workers = Workers(1, 1, deadline_s, name)  # a place in line, while one that was given up still runs
        self._running: asyncio.Future[object] | None = None

    async def run(self, work: Callable[[], object]) -> object:
        """What `work`, or the one that runs already, returns. Raises Problem 503 past the deadline."""
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._workers.run(work))
        return await asyncio.shield(self._running)

    def close(self) -> None:
        """Finish what was begun."""
        self._workers.close()
