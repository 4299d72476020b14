"""Which collections are taken away after a release, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ThreadlineError
from contracts.files import write_text
from contracts.registry import ModelVersion, Release
from orchestration.decisions import Pin, decision_versions, read_pin, remove_pin, write_pin
from orchestration.home import Home
from orchestration.releasing import retire

HOUR_S = 3600.0


class Shelf:
    """An index that only keeps references, and a registry that only knows which were released, one a version."""

    def __init__(self, root: Path, keep: int, grace_hours: float) -> None:
        write_text(root / "threadline.toml", f"keep_generations = {keep}\ngrace_hours = {grace_hours}\n")
        self.home = Home(root / ".threadline")
        self.held: list[str] = []
        self.serving = ""
        self.released: dict[str, str] = {}

    @property
    def configuration(self) -> Any:
        from orchestration.configuration import read_configuration

        return read_configuration(self.home.root.parent)

    @property
    def index(self) -> Shelf:
        return self

    @property
    def registry(self) -> Shelf:
        return self

    def champion(self) -> Release:
        return Release("1", "d", "m", self.serving, "", "", "")

    def versions(self) -> list[ModelVersion]:
        """A collection's tag is written over when another generation of it is released."""
        return [ModelVersion("", "", "", "", "", 0.0, {"collection": each}) for each in self.released.values()]

    def references(self) -> list[str]:
        return sorted(self.held)

    def drop(self, reference: str) -> None:
        self.held.remove(reference)

    def release(self, reference: str, at_hours: float) -> None:
        if reference not in self.held:
            self.held.append(reference)
        self.serving = self.released[reference.partition("/")[0]] = reference
        retire(self, at_hours * HOUR_S)  # type: ignore[arg-type]


def test_only_the_number_beyond_goes_and_what_served_last_goes_last(tmp_path: Path) -> None:
    """The names are in no order: what counts is when each ceased to serve."""
    shelf = Shelf(tmp_path, keep=2, grace_hours=0)
    for hour, name in enumerate(["m/1", "z/1", "a/1", "k/1"]):
        shelf.release(name, hour)
    assert set(shelf.held) == {"k/1", "a/1"}


def test_nothing_goes_within_its_grace_period(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, keep=1, grace_hours=24)
    for hour, name in enumerate(["a/1", "b/1", "c/1"]):
        shelf.release(name, hour)
    assert set(shelf.held) == {"a/1", "b/1", "c/1"}
    shelf.release("c/1", 25.5)
    assert set(shelf.held) == {"b/1", "c/1"}, "b ceased to serve an hour later"


def test_earlier_generations_of_what_serves_go_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, keep=2, grace_hours=0)
    for hour in range(4):
        shelf.release(f"a/{hour}", hour)
    assert set(shelf.held) == {"a/2", "a/3"}


def test_collections_that_somebody_else_keeps_on_the_server_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, keep=1, grace_hours=0)
    shelf.held = ["knowledge-base", "articles-of-another-workspace"]
    for hour, name in enumerate(["articles-1", "articles-2"]):
        shelf.release(name, hour)
    assert set(shelf.held) == {"knowledge-base", "articles-of-another-workspace", "articles-2"}


def test_what_serves_again_is_kept_and_its_grace_starts_anew(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, keep=1, grace_hours=24)
    shelf.release("a/1", 0)
    shelf.release("b/1", 1)
    shelf.release("a/1", 30)
    shelf.release("b/1", 31)
    shelf.release("b/1", 50)
    assert set(shelf.held) == {"a/1", "b/1"}


def test_a_pin_is_an_input_until_it_is_removed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    before = decision_versions(home)
    write_pin(home, Pin("3", "digest", "reid_baseline", "me", "today", "complaints"))
    assert decision_versions(home)["pin"] != before["pin"]
    assert remove_pin(home).version == "3"
    assert read_pin(home) is None and decision_versions(home) == before
    with pytest.raises(ThreadlineError, match="no version is pinned"):
        remove_pin(home)
