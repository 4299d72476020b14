"""What the routes of one application share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from serving.metrics import Metrics
from serving.photos import PixelBudget
from serving.problems import Problem
from serving.query_log import QueryLog
from serving.release import CurrentRelease, NoReleaseYet, ReleaseFollower
from serving.search import Searcher
from serving.settings import Settings
from serving.stages import Stages, Untraced
from serving.workers import Shared, Workers

if TYPE_CHECKING:
    from serving.tracing import Tracing


@dataclass(frozen=True)
class Service:
    """The parts of one application, kept in `app.state.service`."""

    settings: Settings
    current: CurrentRelease
    follower: ReleaseFollower
    workers: Workers
    """For searches with a photo."""
    lookups: Workers
    """For what the index answers by itself."""
    readiness: Shared
    metrics: Metrics
    decoding: PixelBudget
    queries: QueryLog | None
    tracing: Tracing | None

    @contextmanager
    def searcher(self) -> Iterator[Searcher]:
        """The searcher of now. Raises Problem 503 before the first release."""
        try:
            with self.current.lease() as searcher:
                yield searcher
        except NoReleaseYet as error:
            raise no_release(self.follower.problem) from error

    def count(self) -> int:
        """How many articles the index of now has. Raises Problem 503 before the first release."""
        with self.searcher() as searcher:
            return searcher.collection.count()

    def stages(self) -> Stages:
        """The stages of the request that is being answered, whose time begins now."""
        trace = self.tracing.of_this_request() if self.tracing else Untraced()
        return Stages(time.monotonic() + self.workers.deadline_s, trace)


def no_release(problem: str | None) -> Problem:
    """The refusal while nothing serves; `problem` says what keeps a release from being loaded."""
    detail = "no release is loaded yet" + (
        f": {problem}" if problem else "; train one, and it is served when published"
    )
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "no-release", detail, {"Retry-After": "5"})


async def _service(request: Request) -> Service:  # not in a thread: those may all wait for a slow index
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
