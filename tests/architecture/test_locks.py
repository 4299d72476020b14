"""What is locked is what is asked for and tested: each extra whole, every release pinned with its hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REMEDY = "run: make lock"
SHIPPED = ("serving", "tracing", "training", "orchestration", "postgres", "s3", "celery", "kubernetes")


def project(checkout: Path) -> dict[str, list[str]]:
    """The requirements of each extra, those of extras that it holds included, and of the core under ""."""
    described = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = described["optional-dependencies"]

    def whole(extra: str) -> list[str]:
        wanted = [Requirement(text) for text in extras[extra]]
        held = [text for one in wanted if one.name == "threadline" for each in one.extras for text in whole(each)]
        return [str(one) for one in wanted if one.name != "threadline"] + held

    return {"": described["dependencies"], **{extra: whole(extra) for extra in extras}}


def locked(path: Path) -> dict[str, set[str]]:
    """The releases of each package in a lock; several where platforms differ."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def names(checkout: Path) -> list[str]:
    return [extra for extra in project(checkout) if extra]


def test_each_extra_has_a_lock_and_each_lock_an_extra(checkout: Path) -> None:
    assert {path.stem for path in (checkout / "locks").glob("*.txt")} == {*names(checkout), "tools"}, REMEDY


def test_a_lock_holds_what_its_extra_asks_for(checkout: Path) -> None:
    wanted = project(checkout)
    for extra in names(checkout):
        held = locked(checkout / "locks" / f"{extra}.txt")
        for one in map(Requirement, wanted[""] + wanted[extra]):
            versions = held.get(canonicalize_name(one.name), set())
            assert versions, f"{extra}: {one.name} is not locked; {REMEDY}"
            assert all(one.specifier.contains(each, prereleases=True) for each in versions), f"{extra}: {one}; {REMEDY}"


def test_what_is_locked_is_what_is_tested(checkout: Path) -> None:
    lines = (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {canonicalize_name(one.name): one.specifier for one in map(Requirement, filter(None, lines))}
    for extra in names(checkout):
        for name, versions in locked(checkout / "locks" / f"{extra}.txt").items():
            if name in tested:
                assert all(map(tested[name].contains, versions)), f"{extra}: {name} {versions}; {REMEDY}"


def test_every_release_has_hashes_and_no_index_is_named(checkout: Path) -> None:
    for path in sorted((checkout / "locks").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text and "-index" not in text, path
        for entry in re.split(r"\n(?=\S)", text):
            if "==" in entry and not entry.startswith("#"):
                assert "--hash=sha256:" in entry, f"{path}: {entry.splitlines()[0]}"


def test_the_list_of_licences_names_what_is_shipped(checkout: Path) -> None:
    """Everything that a lock installs on Linux, which the images run on."""
    linux = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    listed = {
        canonicalize_name(name)
        for name in re.findall(r"^\| (\S+) ", (checkout / "docs" / "licences.md").read_text(), re.MULTILINE)
    }
    for extra in SHIPPED:
        path = checkout / "locks" / f"{extra}.txt"
        lines = re.findall(r"^([\w.-]+==[^\\\n]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        shipped = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(linux)]
        missing = {canonicalize_name(one.name) for one in shipped} - listed
        assert shipped and not missing, f"{extra}: {sorted(missing)} are not listed; run: make licences"


@pytest.mark.parametrize("extra", ["serving", "client"])
def test_the_service_is_locked_without_the_training_stack(checkout: Path, extra: str) -> None:
    assert not {"torch", "dagster", "mlflow"} & set(locked(checkout / "locks" / f"{extra}.txt"))
