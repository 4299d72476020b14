"""When training sets take in new members."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from orchestration.admission import admission_time, note_admission, share_wanted
from orchestration.configuration import Retraining
from orchestration.home import Home


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_without_a_schedule_it_is_always_time() -> None:
    assert admission_time("", 0.0) == admission_time("", 1e9) == "at once"


def test_the_last_time_that_the_schedule_named() -> None:
    mondays_at_three = "0 3 * * 1"
    before, after = at("2026-03-09 02:59"), at("2026-03-09 03:01")
    assert admission_time(mondays_at_three, before) == "2026-03-02T03:00+00:00"
    assert admission_time(mondays_at_three, after) == "2026-03-09T03:00+00:00"


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(ThreadlineError, match="tomorrow"):
        admission_time("tomorrow", 0.0)


def test_a_set_takes_in_newcomers_once_for_each_time_of_the_schedule(tmp_path: Path) -> None:
    home, policy = Home(tmp_path), Retraining(look_set=0.1, schedule="0 3 * * 1")
    assert share_wanted(home, policy, "look_set", "monday") == 0.1
    note_admission(home, "look_set", "monday")
    assert share_wanted(home, policy, "look_set", "monday") == math.inf
    assert share_wanted(home, policy, "mask_set", "monday") == policy.mask_set, "each set by itself"
    assert share_wanted(home, policy, "look_set", "next monday") == 0.1


def test_at_once_stays_at_once(tmp_path: Path) -> None:
    home, policy = Home(tmp_path), Retraining(look_set=0.1)
    note_admission(home, "look_set", "at once")
    assert share_wanted(home, policy, "look_set", "at once") == 0.1
