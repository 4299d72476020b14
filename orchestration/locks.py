"""Who works on what in a workspace. The kernel releases a lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from contracts.errors import ThreadlineError


@contextmanager
def waiting_for(path: Path) -> Iterator[None]:
    """Hold the lock at `path`; whoever comes second waits, also where the first took the file away in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        while True:
            lock = opened.enter_context(path.open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _lies_at(path, lock):
                break
        yield


def _lies_at(path: Path, lock: TextIO) -> bool:
    """Whether the open file `lock` is the one at `path` still."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at `path`. Raises ThreadlineError when somebody else holds it: `what` works already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ThreadlineError(f"{what} works in this workspace already", "wait until it has finished") from error
        yield


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock at `path`."""
    if not path.exists():
        return False
    with path.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
