"""What an examination of a workspace finds: one line a matter, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from contracts.errors import ThreadlineError, in_words
from orchestration.resources import Workspace

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """How one matter stands: `what` was seen, and the `remedy` unless it is well. A warning stops nothing today."""

    name: str
    state: State
    what: str
    remedy: str = ""


Check = Callable[[Workspace], Iterable[Finding]]


def carried_out(name: str, check: Check, workspace: Workspace) -> list[Finding]:
    """What the check finds; an error that it ends in is what it finds too."""
    found: list[Finding] = []
    try:
        found.extend(check(workspace))
    except ThreadlineError as error:
        found.append(Finding(name, "failed", error.problem, error.remedy))
    except OSError as error:
        told = in_words(error)
        found.append(Finding(name, "failed", told.problem, told.remedy))
    except Exception as error:  # every client fails in ways of its own, and the other checks go on
        reason = str(error).strip().partition("\n")[0]
        found.append(Finding(name, "failed", f"{type(error).__name__}: {reason}", "see whether it runs and lets us in"))
    return found
