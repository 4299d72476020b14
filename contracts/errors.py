"""The one error that people are meant to read."""

from __future__ import annotations

import errno


class ThreadlineError(Exception):
    """A problem that its reader can do something about.

    `problem` names the file and the row where there is one; `remedy` says what to do next.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  What to do: {remedy}")
        self.problem = problem
        self.remedy = remedy


_REMEDIES = {
    errno.ENOSPC: "free some space; what was accepted before is untouched, and the same command goes on",
    errno.EDQUOT: "free some space or raise the quota; the same command goes on",
    errno.EACCES: "let this user read and write there, then run the same command again",
    errno.EPERM: "let this user read and write there, then run the same command again",
    errno.EROFS: "mount it for writing or choose another place, then run the same command again",
    errno.ENOENT: "check the path; something may have moved it meanwhile",
    errno.EMFILE: "allow more open files (ulimit -n), then run the same command again",
    errno.EIO: "check the disk, then run the same command again",
}


def in_words(error: OSError) -> ThreadlineError:
    """What the operating system refused, naming the file, as an error that people are meant to read."""
    reason = error.strerror or str(error)
    place = error.filename2 or error.filename
    problem = f"{place}: {reason}" if place else reason
    return ThreadlineError(problem, _REMEDIES.get(error.errno or 0, "see to it, then run the same command again"))
