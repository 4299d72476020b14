"""A workspace that was lost comes back from its backup, in another place, with nothing left to compute."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file
from contracts.images import read
from contracts.model_package import read_package
from contracts.registry import SERVING_MODEL
from orchestration import backup as backup_module
from orchestration import dvc_data
from orchestration.backup import MANIFEST, restore_backup, write_backup
from orchestration.cli.main import app
from orchestration.execution import materialize
from orchestration.finding import Finder
from orchestration.locks import alone
from orchestration.resources import Workspace
from orchestration.runs import lock_of
from tests.behaviour.tiny import TinyWorkspace


@pytest.fixture(scope="module")
def original(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the built workspace that no test changes."""
    place = tmp_path_factory.mktemp("original") / "shop"
    shutil.copytree(built, place, symlinks=True)
    return place


@pytest.fixture(scope="module")
def backup(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its backup."""
    path, _ = write_backup(TinyWorkspace(original), tmp_path_factory.mktemp("backup") / "saved.tar")
    return path


@pytest.fixture
def saved(backup: Path, tmp_path: Path) -> Path:
    """A copy of the backup, to be damaged."""
    return shutil.copy(backup, tmp_path / "saved.tar")


def paths_in(database: Path) -> set[str]:
    """The places that MLflow's database names."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs "
            "UNION SELECT source FROM model_versions UNION SELECT storage_location FROM model_versions "
            "UNION SELECT artifact_location FROM logged_models"
        ).fetchall()
    return {str(value) for (value,) in rows if value and "/.threadline/" in str(value)}


def altered(source: Path, target: Path, manifest: dict[str, object]) -> Path:
    """The backup with another manifest."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = json.dumps(manifest).encode() if member.name == MANIFEST else content.read()
            member.size = len(data)
            new.addfile(member, BytesIO(data))
    return target


@pytest.mark.slow
def test_a_lost_workspace_comes_back_elsewhere(place: Path, tmp_path: Path) -> None:
    before = TinyWorkspace(place)
    release, version = before.registry.champion(), dvc_data.data_version(place)
    (photo, *_) = sorted((place / "data" / "street" / "one" / "images").iterdir())
    finder = Finder(before)
    found = finder.find(read(photo), 5).hits
    finder.close()
    data = {path.relative_to(place): path.read_bytes() for path in (place / "data").rglob("*") if path.is_file()}
    saved, _ = write_backup(before, tmp_path / "saved.tar")
    shutil.rmtree(place)

    there = tmp_path / "somewhere" / "else"
    restored = restore_backup(saved, there)
    after = TinyWorkspace(there)
    assert restored.data_version == dvc_data.data_version(there) == version
    assert {
        path.relative_to(there): path.read_bytes() for path in (there / "data").rglob("*") if path.is_file()
    } == data
    assert after.registry.champion() == release and release is not None

    named = paths_in(after.home.root / "mlflow" / "mlflow.db")
    assert named and all(one.startswith(f"{after.home.artifacts}") for one in named)
    fetched = after.registry.fetch(SERVING_MODEL, release.version, tmp_path / "fetched")
    assert read_package(fetched, verify=True).digest == release.digest
    finder = Finder(after)
    assert finder.find(read(there / photo.relative_to(place)), 5).hits == found
    finder.close()
    assert materialize(after).ran == []
    place.mkdir()  # for its fixture to remove

    shutil.rmtree(there / "data")
    dvc_data.restore(there, version, tmp_path / "checked out")
    assert {
        path.relative_to(tmp_path / "checked out") for path in (tmp_path / "checked out" / "data").rglob("*.*")
    } >= {path for path in data if path.suffix}


def test_what_data_and_cache_both_hold_is_in_it_once(original: Path, saved: Path) -> None:
    pictures = sum(path.stat().st_size for path in (original / "data").rglob("*.jpg"))
    with tarfile.open(saved) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names)) and names[-1] == MANIFEST
    whole = sum(path.stat().st_size for path in original.rglob("*") if path.is_file())
    assert saved.stat().st_size < whole - pictures + 1_000_000


@pytest.mark.parametrize("harm", ["cut", "changed", "other", "missing"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(harm: str, saved: Path, tmp_path: Path) -> None:
    content = bytearray(saved.read_bytes())
    if harm == "cut":
        del content[len(content) // 2 :]
    elif harm == "changed":
        content[len(content) // 2] ^= 0xFF
    elif harm == "other":
        content[:] = b"no archive at all"
    saved.write_bytes(content)
    if harm == "missing":
        saved.unlink()
    with pytest.raises((ThreadlineError, FileNotFoundError)) as refused:
        restore_backup(saved, tmp_path / "there")
    assert "saved.tar" in str(refused.value)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "data/../../outside", ".git/hooks/pre-commit"])
def test_a_backup_writes_nowhere_else(name: str, saved: Path, tmp_path: Path) -> None:
    with tarfile.open(saved) as archive:
        member = archive.extractfile(MANIFEST)
        assert member is not None
        manifest = json.load(member)
    manifest["files"][name] = next(iter(manifest["files"].values()))
    with pytest.raises(ThreadlineError, match="outside of the workspace"):
        restore_backup(altered(saved, tmp_path / "evil.tar", manifest), tmp_path / "there")
    assert not (tmp_path / "outside").exists() and not (tmp_path / "there").exists()


def test_nothing_is_overwritten(original: Path, saved: Path) -> None:
    with pytest.raises(ThreadlineError, match="is there already"):
        write_backup(TinyWorkspace(original), saved)
    with pytest.raises(ThreadlineError, match="is there already"):
        restore_backup(saved, original)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a file of data and a delivery, of which nothing was made."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    workspace = Workspace(tmp_path / "bare")
    for folder in ("data", "incoming/street/new"):
        (workspace.root / folder).mkdir(parents=True)
        (workspace.root / folder / "photo.jpg").write_bytes(f"a photo in {folder}".encode())
    dvc_data.init(workspace.root)
    return workspace


def written_when_hashed(target: Path, patched: pytest.MonkeyPatch, *, gone: bool = False) -> None:
    """Let somebody write to `target`, or delete it, right after it, or a copy of it, was first hashed."""
    content = target.read_bytes()

    def hashed(path: Path) -> str:
        digest = sha256_of_file(path)
        if path.read_bytes() == content:
            target.unlink() if gone else target.write_bytes(content.upper())
        return digest

    patched.setattr(backup_module, "sha256_of_file", hashed)


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_changes_while_it_is_saved_stops_the_backup(
    gone: bool, bare: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_when_hashed(bare.root / "data" / "photo.jpg", monkeypatch, gone=gone)
    with pytest.raises(ThreadlineError, match=r"data/photo\.jpg changed while it was saved"):
        write_backup(bare, tmp_path / "saved.tar")
    assert not (tmp_path / "saved.tar").exists()


def test_a_delivery_may_arrive_while_it_is_saved(
    bare: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_when_hashed(bare.root / "incoming/street/new/photo.jpg", monkeypatch)
    path, _ = write_backup(bare, tmp_path / "saved.tar")
    restore_backup(path, tmp_path / "there")
    restored = tmp_path / "there" / "incoming/street/new/photo.jpg"
    assert restored.read_bytes() == b"a photo in incoming/street/new"


def test_links_that_were_delivered_are_not_followed(bare: Workspace, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("of nobody's concern")
    for link in ("incoming/street/new/key", ".threadline/quarantine/street/old", ".threadline/rejected/street/bad"):
        (bare.root / link).parent.mkdir(parents=True, exist_ok=True)
        (bare.root / link).symlink_to(tmp_path / "secret")
    path, backup = write_backup(bare, tmp_path / "saved.tar")
    assert b"of nobody's concern" not in path.read_bytes()
    assert not any(
        name.startswith((".threadline/quarantine/street/old", "incoming/street/new/key")) for name in backup.directories
    )


def test_nothing_is_saved_while_something_works(original: Path, tmp_path: Path) -> None:
    workspace = TinyWorkspace(original)
    with alone(workspace.home.lock(lock_of("command")), "it"), pytest.raises(ThreadlineError, match="materialize"):
        write_backup(workspace, tmp_path / "saved.tar")
    assert not list(tmp_path.glob("*saved*"))


def test_a_workspace_may_move_into_a_git_repository_and_out_of_it(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)
    inside = tmp_path / "repository" / "shop"
    restore_backup(saved, inside)
    assert dvc_data.manifest(inside).files
    path, _ = write_backup(TinyWorkspace(inside), tmp_path)
    assert path.parent == tmp_path and path.name.startswith("shop-")
    restore_backup(path, tmp_path / "outside")
    assert dvc_data.manifest(tmp_path / "outside") == dvc_data.manifest(inside)


def test_the_commands_say_what_they_did(original: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    target = str(tmp_path / "saved.tar")
    made = runner.invoke(app, ["backup", target, "--workspace", str(original), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["data_version"] == dvc_data.data_version(original)
    back = runner.invoke(app, ["restore", target, str(tmp_path / "there")])
    assert back.exit_code == 0 and "threadline doctor" in back.output
