"""The one error that people are meant to read."""

from __future__ import annotations


class ThreadlineError(Exception):
    """A problem that its reader can do something about.

    `problem` names the file and the row where there is one; `remedy` says what to do next.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  What to do: {remedy}")
        self.problem = problem
        self.remedy = remedy
