"""What counts as a change of code, and how an edit is declared harmless."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contracts.errors import ThreadlineError
from orchestration import code_versions
from orchestration.asset import Made, Step, asset
from orchestration.code_versions import code_version, harmless_changes, module_digest, source_of
from orchestration.definitions import build_definitions
from orchestration.freshness import Lineage
from orchestration.graph_resources import Watcher
from orchestration.resources import Workspace

SOURCE = '''
"""A network."""

def steps(epochs):
    """How many."""
    count = epochs * 3  # of three batches
    return count
'''
RENAMED = SOURCE.replace("count", "number")
SHORTER = RENAMED.replace("number = epochs * 3  # of three batches\n    return number", "return 3 * epochs")
OTHER = SOURCE.replace("* 3", "* 4")

Write = Callable[[str], None]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the module `net.steps` of a project of its own, in which nothing is declared."""
    (tmp_path / "net").mkdir()
    (tmp_path / "harmless.toml").touch()
    monkeypatch.setattr(code_versions, "ROOT", tmp_path)
    monkeypatch.setattr(code_versions, "HARMLESS", tmp_path / "harmless.toml")

    def write(source: str) -> None:
        (tmp_path / "net" / "steps.py").write_text(source)

    write(SOURCE)
    return write


def declare(before: str, after: str, of: str = "net.steps") -> None:
    entry = f'[[change]]\nmodule = "{of}"\nbefore = "{before}"\nafter = "{after}"\nreason = "a variable renamed"\n'
    with code_versions.HARMLESS.open("a") as file:
        file.write(entry)


def version_of_module() -> str:
    return code_version(("net.steps",), ("numpy",))


def test_words_and_layout_do_not_count_and_behaviour_does(module: Write) -> None:
    before = version_of_module()
    module(SOURCE.replace("A network.", "Another word.").replace("# of three batches", "").replace("\n\n", "\n\n\n"))
    assert version_of_module() == before
    module(OTHER)
    assert version_of_module() != before
    module(RENAMED)
    assert version_of_module() != before, "a name counts as long as nobody vouches for it"


def test_an_edit_declared_harmless_keeps_the_code_version(module: Write) -> None:
    before = version_of_module()
    declare(module_digest(SOURCE), module_digest(RENAMED))
    assert version_of_module() == before, "what was there before the edit is as it was"
    module(RENAMED)
    assert version_of_module() == before
    declare(module_digest(RENAMED), module_digest(SHORTER))
    module(SHORTER)
    assert version_of_module() == before, "one harmless edit after another"
    module(SHORTER.replace("3 *", "4 *"))
    assert version_of_module() != before, "the next edit is vouched for by nobody"


def test_a_harmless_edit_that_is_taken_back_needs_no_entry(module: Write) -> None:
    before = version_of_module()
    declare(module_digest(SOURCE), module_digest(RENAMED))
    module(RENAMED)
    module(SOURCE)
    assert version_of_module() == before
    declare(module_digest(RENAMED), module_digest(SOURCE))
    with pytest.raises(ThreadlineError, match="circle"):
        version_of_module()


def test_a_declaration_is_for_one_module(module: Write) -> None:
    before = version_of_module()
    declare(module_digest(SOURCE), module_digest(RENAMED), of="net.other")
    module(RENAMED)
    assert version_of_module() != before


@pytest.mark.parametrize(
    "entry",
    [
        "[[change]\n",
        '[[change]]\nmodule = "net.steps"\nbefore = "x"\nafter = "y"\nreason = "a variable renamed"\n',
        f'[[change]]\nmodule = "net.steps"\nbefore = "{"0" * 16}"\nafter = "{"1" * 16}"\nreason = ""\n',
    ],
    ids=["no TOML", "no digests", "no reason"],
)
def test_a_declaration_without_digests_or_reason_is_refused(module: Write, entry: str) -> None:
    code_versions.HARMLESS.write_text(entry)
    with pytest.raises(ThreadlineError, match=r"harmless\.toml"):
        version_of_module()


def test_the_entry_for_an_edit_is_printed(checkout: Path) -> None:
    def printed(before: str) -> str:
        command = [sys.executable, "-m", "orchestration.code_versions", "orchestration.silence"]
        return subprocess.run(command, cwd=checkout, input=before, capture_output=True, text=True, check=True).stdout

    assert f'after = "{module_digest(source_of("orchestration.silence"))}"' in printed(SOURCE)
    assert f'before = "{module_digest(SOURCE)}"' in printed(SOURCE)
    assert "nothing is to be declared" in printed(source_of("orchestration.silence"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def model(tmp_path: Path) -> dg.Definitions:
    """A graph of one model, declared as all of this project's assets are, with the code that it now has."""

    @asset(deps=[], group="models", code=("net.steps",), kinds=frozenset({"pytorch"}))
    def network(step: Step) -> Made:
        """Learns nothing."""
        return Made("1")

    given: dict[str, Any] = {"workspace": Workspace(tmp_path), "watcher": Watcher(None)}
    return dg.Definitions([network], resources=given, executor=dg.in_process_executor)


def test_only_a_change_of_behaviour_trains_again(module: Write, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    def out_of_date() -> bool:
        lineage = Lineage(instance, model(tmp_path).resolve_asset_graph())
        return lineage.out_of_date(dg.AssetKey("network")) == [None]

    assert out_of_date()
    done = model(tmp_path).resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    assert done.success and not out_of_date()
    module(RENAMED)
    assert out_of_date()
    declare(module_digest(SOURCE), module_digest(RENAMED))
    assert not out_of_date()
    module(OTHER)
    assert out_of_date()


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("[retraining]\nlook_set = 0.3\n", {"look_set"}),
        ('[promotion]\napproval = "manual"\n', {"candidate"}),
        ("[alerts]\nindex_late_minutes = 5\n", set()),
    ],
)
def test_a_setting_makes_what_it_decides_out_of_date(tmp_path: Path, setting: str, changed: set[str]) -> None:
    def versions(text: str) -> dict[str, str | None]:
        (tmp_path / "threadline.toml").write_text(text)
        graph = build_definitions(Workspace(tmp_path)).resolve_asset_graph()
        return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}

    before, after = versions(""), versions(setting)
    assert {name for name in before if before[name] != after[name]} == changed


def test_every_declaration_still_leads_to_its_module_as_it_is() -> None:
    changes = harmless_changes()
    befores = {(change.module, change.before) for change in changes}
    dead = [
        f"{change.module}: {change.reason}"
        for change in changes
        if change.after != module_digest(source_of(change.module)) and (change.module, change.after) not in befores
    ]
    assert dead == [], "these modules have changed since: remove the entries"
