"""What people decide about releases: the pin that a rollback sets, and the approval of a proposed package.

Both are inputs of the graph: the candidate is made anew when one of them changes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from contracts.errors import ThreadlineError
from contracts.files import digest_of, write_json
from orchestration.home import Home


@dataclass(frozen=True)
class Pin:
    """The version of the serving model that serves until it is unpinned, whatever is trained meanwhile."""

    version: str
    digest: str
    method: str
    who: str
    when: str
    reason: str


@dataclass(frozen=True)
class Approval:
    """The proposed package that may serve."""

    digest: str
    who: str
    when: str
    reason: str


def read_pin(home: Home) -> Pin | None:
    """The pin; None where nothing is pinned."""
    path = home.decision("pin")
    return Pin(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def read_approval(home: Home) -> Approval | None:
    """The latest approval; None before the first."""
    path = home.decision("approval")
    return Approval(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_pin(home: Home, pin: Pin) -> None:
    """Keep the pin in one step, in place of an earlier one."""
    write_json(home.decision("pin"), asdict(pin))


def write_approval(home: Home, approval: Approval) -> None:
    """Keep the approval in one step, in place of an earlier one."""
    write_json(home.decision("approval"), asdict(approval))


def remove_pin(home: Home) -> Pin:
    """Take the pin away and return it. Raises ThreadlineError when nothing is pinned."""
    pin = read_pin(home)
    if pin is None:
        raise ThreadlineError("no version is pinned", "see what serves: threadline releases")
    home.decision("pin").unlink()
    return pin


def decision_versions(home: Home) -> dict[str, str]:
    """The data versions of the inputs `pin` and `approval`."""
    pin, approval = read_pin(home), read_approval(home)
    return {
        "pin": digest_of(pin.digest)[:32] if pin else "none",
        "approval": digest_of(approval.digest)[:32] if approval else "none",
    }


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
