"""Following the registry: the release that serves, and how the next one takes its place between two requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from contracts.index import ArticleIndex
from contracts.logs import at
from contracts.registry import SERVING_MODEL, Registry, Release
from serving.inference import PackageSession
from serving.registry import give_up_soon
from serving.rerank import ArticleFeatures
from serving.search import Searcher

_LOG = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 60.0
_STOP_S = 10.0
"""How long a stop waits for a release that is being loaded; the thread is left behind then, and swaps nothing in."""


class NoReleaseYet(Exception):  # noqa: N818 - read as a sentence
    """Nothing serves yet."""


@dataclass
class _Held:
    """A searcher and how many use it; the holder itself counts as one."""

    searcher: Searcher
    users: int = 1


class CurrentRelease:
    """The searcher that answers now. One that was replaced is closed when its last request has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: _Held | None = None

    @contextmanager
    def lease(self) -> Iterator[Searcher]:
        """The searcher of now, open until the block ends. Raises NoReleaseYet."""
        with self._lock:
            held = self._held
            if held is None:
                raise NoReleaseYet
            held.users += 1
        try:
            yield held.searcher
        finally:
            self._give_back(held)

    @property
    def is_there(self) -> bool:
        """Whether anything serves."""
        return self._held is not None

    def swap(self, searcher: Searcher | None) -> None:
        """Let `searcher` answer from the next request on; None: nothing answers any more."""
        with self._lock:
            old = self._held
            self._held = None if searcher is None else _Held(searcher)
        if old is not None:
            self._give_back(old)

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            held.users -= 1
            unused = held.users == 0
        if unused:
            _close(held.searcher)


def _close(searcher: Searcher) -> None:
    """Close what nobody uses any more. An error is nobody's either: it is only logged."""
    try:
        searcher.close()
    except BaseException:  # the engine panics, and a panic is no Exception
        _LOG.exception("a release that is not needed any more does not close")


class ReleaseLoader:
    """Makes the searcher of a release; a package that is loaded already is not loaded again."""

    def __init__(
        self,
        registry: Registry,
        index: ArticleIndex,
        packages: Path,
        data: Path,
        open_session: Callable[[Path], PackageSession],
    ) -> None:
        self._registry = registry
        self._index = index
        self._packages = packages
        self._data = data
        self._open_session = open_session
        self._last: tuple[str, PackageSession, ArticleFeatures] | None = None

    def load(self, release: Release) -> Searcher:
        """Fetch, open and warm the release. Raises whatever keeps it from answering."""
        with ThreadPoolExecutor(1, "package") as beside:  # both take long, and little of it is Python
            loading = beside.submit(copy_context().run, self._session, release)
            collection = self._index.open(release.collection)
        try:
            session, features = loading.result()
            searcher = Searcher(release, session, collection, features)
            searcher.warm()
        except BaseException:
            collection.close()
            raise
        return searcher

    def _session(self, release: Release) -> tuple[PackageSession, ArticleFeatures]:
        if self._last is None or self._last[0] != release.digest:
            session = self._open_session(self._registry.fetch(SERVING_MODEL, release.version, self._packages))
            self._last = release.digest, session, ArticleFeatures(session, self._data)
        return self._last[1:]


@dataclass(frozen=True)
class _Failure:
    """A release that did not load, and the moment of `monotonic` before which it is not tried again."""

    release: Release
    pause_s: float
    again_s: float


class ReleaseFollower:
    """Looks at the registry every `poll_s` seconds and when woken, in its own thread; swaps in what should serve."""

    def __init__(
        self,
        registry: Registry,
        loader: ReleaseLoader,
        current: CurrentRelease,
        poll_s: float,
        loaded: Callable[[Release, bool], None],
    ) -> None:
        """`loaded` is told of every try: the release, and whether it now serves.

        `problem` is for anybody to read. Its reason may name paths, hosts, even a password: only the log has it.
        """
        self.problem: str | None = None
        self._reason: str | None = None
        self._registry = registry
        self._loader = loader
        self._current = current
        self._poll_s = poll_s
        self._loaded = loaded
        self._serving: Release | None = None
        self._failure: _Failure | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="release-follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        give_up_soon()
        self._thread.start()

    def wake(self) -> None:
        """Look now, without waiting for the next turn. Safe to call from a signal handler."""
        self._wake.set()

    def stop(self) -> None:
        """Stop following, and close what serves when its last request has ended."""
        self._stop.set()
        self._wake.set()
        self._thread.join(_STOP_S)
        self._current.swap(None)

    def look(self) -> None:
        """Look once. On any failure what serves goes on serving, and `problem` says that the new release does not.

        A release that did not load is tried again after a pause that doubles, up to a minute, or when woken.
        """
        try:
            release = self._registry.champion()
        except Exception as error:  # the registry may be away for a while: whatever it is, serving goes on
            self._report("the registry cannot be read", error)
            self._failure = None  # whatever did not load may have failed of that
            return
        failure = self._failure
        if failure is not None and release == failure.release and monotonic() < failure.again_s:
            return
        if release is None or release == self._serving:
            self.problem = self._failure = None
            return
        with at(release=release.version):
            self._bring(release)

    def _bring(self, release: Release) -> None:
        try:
            searcher = self._loader.load(release)
        except BaseException as error:  # one that does not load, be it by a panic of the engine, must end nothing else
            self._loaded(release, False)
            self._postpone(release)
            self._report(f"version {release.version} with {release.collection} does not load", error)
            return
        if self._stop.is_set():
            _close(searcher)
            return
        self._current.swap(searcher)
        self._serving, self.problem, self._failure = release, None, None
        self._loaded(release, True)
        _LOG.info("version %s with %s serves", release.version, release.collection)
        self._prepare(searcher, release)

    def _prepare(self, searcher: Searcher, release: Release) -> None:
        """Only once it serves: nobody waits for it, a service is ready sooner, and the old release is gone by then."""
        try:
            searcher.prepare()
        except BaseException:
            _LOG.exception("version %s serves, but slowly where several search at once", release.version)
        else:
            _LOG.info("version %s is prepared for several searches at once", release.version)

    def _postpone(self, release: Release) -> None:
        pause_s, before = self._poll_s, self._failure
        if before is not None and before.release == release:
            pause_s = min(2 * before.pause_s, _LONGEST_PAUSE_S)
        self._failure = _Failure(release, pause_s, monotonic() + pause_s)

    def _report(self, problem: str, error: BaseException) -> None:
        reason = f"{problem}: {error}"
        if self.problem is None or reason != self._reason:
            _LOG.error("%s", reason)
        self._reason, self.problem = reason, f"{problem}; the service's log says why"

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.look()
            if self._wake.wait(self._poll_s):
                self._failure = None  # who wakes us may have mended what failed
