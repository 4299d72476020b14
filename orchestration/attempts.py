"""Attempts to make an asset that have not succeeded: tried again with backoff, then left to a person.

An attempt is noted before the work starts and forgotten when it succeeds. So a process that was killed counts as an
attempt too, and one that kills its process each time does not go on for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from contracts.errors import ThreadlineError
from contracts.files import Place, write_json
from contracts.logs import without_secrets
from orchestration.home import Home

DEATHS_A_RUN = 3
"""When a run that lost its process is given up: what hands its work out again each time would do so for ever."""


@dataclass(frozen=True)
class Attempt:
    """The latest attempt to make an asset, or a partition of it, and how many there were for the same inputs.

    `inputs` is the digest of what it would be made from; `reason` is empty while it runs, or when it was killed.
    What a person cancelled waits for other inputs, or for `threadline materialize`.
    """

    asset: str
    partition: str | None
    inputs: str
    count: int
    at_s: float
    run_id: str
    reason: str = ""
    cancelled: bool = False

    def may_be_repeated(self, inputs: str, now_s: float, most: int, backoff_s: float) -> bool:
        """Whether the automation may try (again): other inputs at once, the same ones with doubling pauses.

        `most` is how many repetitions there are; the pause before the first is `backoff_s` seconds.
        """
        if inputs != self.inputs:
            return True
        return not self.cancelled and self.count <= most and now_s >= self.at_s + backoff_s * 2 ** (self.count - 1)


@contextmanager
def attempt(
    home: Home,
    asset: str,
    partition: str | None,
    inputs: str,
    run_id: str,
    now_s: float,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Note an attempt around the work; an error is noted with its reason, without secrets, and success forgets it.

    `is_cancelled` tells, when the work is interrupted, whether a person cancelled it or the process is to stop.
    Raises ThreadlineError instead of working where the process of this run died, `DEATHS_A_RUN` attempts or more in.
    """
    path = _path(home, asset, partition)
    before = _read(path)
    count = before.count + 1 if before is not None and before.inputs == inputs else 1
    this = Attempt(asset, partition, inputs, count, now_s, run_id)
    if before is not None and (before.run_id, before.reason) == (run_id, "") and count > DEATHS_A_RUN:
        reason = f"{asset} was begun {before.count} times, and its process died again"
        write_json(path, asdict(replace(before, reason=reason)))
        raise ThreadlineError(reason, "look at the memory of its worker, then `threadline materialize --failed`")
    write_json(path, asdict(this))
    try:
        yield
    except Exception as error:
        write_json(path, asdict(replace(this, reason=without_secrets(str(error)) or type(error).__name__)))
        raise
    except BaseException:
        if is_cancelled():
            write_json(path, asdict(replace(this, reason="cancelled", cancelled=True)))
        else:
            path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def read_attempts(home: Home) -> dict[tuple[str, str | None], Attempt]:
    """The attempts that have not succeeded, by asset and partition."""
    found = [one for one in map(_read, sorted(home.attempts.glob("*.json"), key=str)) if one is not None]
    return {(one.asset, one.partition): one for one in found}


def read_attempt(home: Home, asset: str, partition: str | None) -> Attempt | None:
    """The latest attempt to make this; None when it succeeded, or there was none."""
    return _read(_path(home, asset, partition))


def _path(home: Home, asset: str, partition: str | None) -> Place:
    return home.attempts / (f"{asset}@{partition}.json" if partition else f"{asset}.json")


def _read(path: Place) -> Attempt | None:
    """The attempt noted at `path`; None where it has succeeded meanwhile."""
    try:
        return Attempt(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
