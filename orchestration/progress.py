"""How far a long piece of work is, for whoever watches: a terminal, or a run's log."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Reporter(Protocol):
    """Takes how far a stage is."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of `stage` are finished; `note` is a figure worth seeing."""
        ...


class LogReporter:
    """Writes a line at the start and the end of a stage, and at most one each `every_s` seconds between."""

    def __init__(self, write: Callable[[str], object], every_s: float = 15.0) -> None:
        self._write = write
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """See `Reporter`."""
        now = time.monotonic()
        if done < total and now - self._last.get(stage, -self._every_s) < self._every_s:
            return
        self._last[stage] = now
        self._write(f"{stage}: {done} of {total} {note}".rstrip())


class LineReporter:
    """Prints a line each `every_s` seconds that a stage takes; one that is quicker stays silent."""

    def __init__(self, write: Callable[[str], object], every_s: float = 30.0) -> None:
        self._write = write
        self._every_s = every_s
        self._since: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """See `Reporter`."""
        now = time.monotonic()
        if now - self._since.setdefault(stage, now) >= self._every_s:
            self._since[stage] = now
            self._write(f"  {stage}: {done} of {total} {note}".rstrip())
        if done >= total:
            del self._since[stage]


class TerminalReporter:
    """Draws one bar a stage; where the console is no terminal, prints a line now and then. A context manager."""

    def __init__(self, console: Console) -> None:
        plain = partial(TextColumn, markup=False)
        columns = (plain("  {task.description:<34}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, plain("{task.fields[note]}"), console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._lines = None if console.is_terminal else LineReporter(partial(console.print, markup=False))

    def __enter__(self) -> TerminalReporter:
        if self._lines is None:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lines is None:
            self._progress.stop()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """See `Reporter`."""
        if self._lines is not None:
            self._lines(stage, done, total, note)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note=note)
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)
        if done >= total:
            self._progress.remove_task(self._tasks.pop(stage))
