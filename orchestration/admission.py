"""When training sets take in new members: at once, or at the times of a schedule."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from dagster._utils.schedules import is_valid_cron_string, reverse_cron_string_iterator

from contracts.errors import ThreadlineError
from contracts.files import write_json
from orchestration.configuration import Retraining
from orchestration.home import Home

AT_ONCE = "at once"


def admission_time(schedule: str, now_s: float) -> str:
    """The last time that `schedule` (cron, in UTC) named, ISO 8601; "at once" without a schedule.

    It is the data version of the input `admission`, which every training set is made from. Raises ThreadlineError.
    """
    if not schedule:
        return AT_ONCE
    if not is_valid_cron_string(schedule):
        raise ThreadlineError(
            f"'{schedule}' is no schedule", 'write it like "0 3 * * 1": minute, hour, day, month, weekday'
        )
    last = next(reverse_cron_string_iterator(now_s, schedule, "UTC"))
    return datetime.fromtimestamp(last.timestamp(), UTC).isoformat(timespec="minutes")


def share_wanted(home: Home, policy: Retraining, name: str, admission: str) -> float:
    """The share that newcomers of the set `name` must reach now: none is enough before the schedule's next time."""
    path = home.derived(f"admission-{name}")
    last = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return math.inf if policy.schedule and last == admission else float(getattr(policy, name))


def note_admission(home: Home, name: str, admission: str) -> None:
    """Remember that the set `name` has had its chance to take in newcomers at this time."""
    write_json(home.derived(f"admission-{name}"), admission)
