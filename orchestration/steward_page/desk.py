"""Decisions are carried out one at a time beside the pages, so that a browser can watch a large batch being judged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from contracts.batches import Kind
from contracts.errors import ThreadlineError, in_words
from orchestration.progress import Reporter

BatchKey = tuple[Kind, str]

log = logging.getLogger("threadline.steward_page")


@dataclass
class Work:
    """A decision that is being carried out: how far it is, and in the end what came of it, or the problem."""

    batch: BatchKey
    stage: str = ""
    done: int = 0
    total: int = 0
    outcome: str = ""
    problem: ThreadlineError | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """See `orchestration.progress.Reporter`."""
        self.stage, self.done, self.total = stage, done, total


class Desk:
    """Carries out one decision at a time; the process does not end before it is done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "decision")
        self._latest: dict[BatchKey, Work] = {}
        self._current: Work | None = None
        self._lock = threading.Lock()

    def begin(self, batch: BatchKey, decide: Callable[[Reporter], str]) -> Work:
        """Start a decision on a batch. Raises ThreadlineError while another one is under way."""
        with self._lock:
            if self._current is not None and not self._current.finished.is_set():
                kind, name = self._current.batch
                raise ThreadlineError(
                    f"a decision on {kind}/{name} is being carried out", "go back and send it again when that is done"
                )
            work = self._current = self._latest[batch] = Work(batch)
        self._pool.submit(_carry_out, work, decide)
        return work

    def latest(self, batch: BatchKey) -> Work | None:
        """The latest decision on a batch that was made here."""
        return self._latest.get(batch)


def _carry_out(work: Work, decide: Callable[[Reporter], str]) -> None:
    try:
        work.outcome = decide(work)
    except ThreadlineError as error:
        work.problem = error
    except OSError as error:
        work.problem = in_words(error)
    except Exception as error:
        log.exception("the decision on %s/%s", *work.batch)
        work.problem = ThreadlineError(f"this failed: {error}", "the terminal that the page was started in says more")
    finally:
        work.finished.set()
