"""The data version: told from DVC's own files, changed by adding, and never a reason to read what did not change."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from contracts.ledger import LedgerRow, write_ledger
from orchestration import dvc_data


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace outside git, with two batches that are not added yet."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    root.mkdir()
    dvc_data.init(root)
    write_batch(root, "catalogue/one", "1")
    write_batch(root, "street/two", "2")
    return root


def write_batch(root: Path, batch: str, content: str) -> None:
    folder = root / "data" / batch / "images"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.jpg").write_text(content)
    (folder / "b.jpg").write_text(content + content)


def test_nothing_added_is_an_empty_version(workspace: Path) -> None:
    assert dvc_data.data_version(workspace) == ""
    assert dvc_data.manifest(workspace).files == {}


def test_the_manifest_lists_every_file(workspace: Path) -> None:
    dvc_data.add_all(workspace)
    manifest = dvc_data.manifest(workspace)
    assert manifest.md5 == dvc_data.data_version(workspace)
    assert manifest.md5.endswith(".dir")
    assert sorted(manifest.files) == [
        f"{batch}/images/{name}.jpg" for batch in ("catalogue/one", "street/two") for name in "ab"
    ]


def test_adding_a_batch_changes_its_digest_and_no_other(workspace: Path) -> None:
    dvc_data.add_all(workspace)
    before = dvc_data.batch_digests(dvc_data.manifest(workspace).files)
    write_batch(workspace, "street/three", "3")
    write_ledger(workspace / "data", [LedgerRow(1, "street", "three", "me", "now", "accepted", "x")])
    dvc_data.add_batch(workspace, "street", "three")
    manifest = dvc_data.manifest(workspace)
    after = dvc_data.batch_digests(manifest.files)
    assert "ledger.parquet" in manifest.files
    assert set(after) - set(before) == {("street", "three")}
    assert all(after[key] == before[key] for key in before)
    assert [path.name for path in workspace.rglob("*.dvc") if path.is_file()] == ["data.dvc"]


def test_tables_that_the_data_version_does_not_name_are_not_read(workspace: Path) -> None:
    table = workspace / "data" / "catalogue" / "one" / "articles.parquet"
    table.write_bytes(b"of this version")
    dvc_data.add_all(workspace)
    dvc_data.require_tables(workspace, "catalogue", ["one"])
    table.write_bytes(b"of another one")
    with pytest.raises(ThreadlineError, match=r"articles\.parquet is not what data\.dvc names"):
        dvc_data.require_tables(workspace, "catalogue", ["one"])
    table.unlink()
    with pytest.raises(ThreadlineError, match="is not what"):
        dvc_data.require_tables(workspace, "catalogue", ["one"])
    dvc_data.require_tables(workspace, "street", ["two"])


def test_adding_again_changes_nothing(workspace: Path) -> None:
    dvc_data.add_batch(workspace, "catalogue", "one")
    before = (workspace / "data.dvc").read_bytes()
    dvc_data.add_batch(workspace, "catalogue", "one")
    dvc_data.add_all(workspace)
    assert (workspace / "data.dvc").read_bytes() == before


def test_a_removed_batch_leaves_the_version_and_comes_back_as_it_was(workspace: Path) -> None:
    dvc_data.add_all(workspace)
    before = dvc_data.data_version(workspace)
    shutil.move(workspace / "data/street/two", workspace / "two")
    dvc_data.add_all(workspace)
    assert set(dvc_data.batch_digests(dvc_data.manifest(workspace).files)) == {("catalogue", "one")}
    (workspace / "data/street").mkdir(exist_ok=True)
    shutil.move(workspace / "two", workspace / "data/street/two")
    dvc_data.add_batch(workspace, "street", "two")
    assert dvc_data.data_version(workspace) == before


def test_files_that_did_not_change_are_not_hashed_again(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dvc_data.hashfile.hash as hashing

    dvc_data.add_all(workspace)
    hashed: list[str] = []
    original = hashing._hash_file

    def counting(path: str, *args: object, **keywords: object) -> object:
        hashed.append(str(path))
        return original(path, *args, **keywords)

    monkeypatch.setattr(hashing, "_hash_file", counting)
    write_batch(workspace, "street/three", "3")
    dvc_data.add_batch(workspace, "street", "three")
    dvc_data.add_all(workspace)
    data = [path for path in hashed if "/data/" in path]
    assert data
    assert all("/three/" in path for path in data)


def test_a_batch_can_be_added_where_the_others_are_not_checked_out(workspace: Path) -> None:
    dvc_data.add_all(workspace)
    shutil.rmtree(workspace / "data")
    write_batch(workspace, "street/three", "3")
    dvc_data.add_batch(workspace, "street", "three")
    batches = set(dvc_data.batch_digests(dvc_data.manifest(workspace).files))
    assert batches == {("catalogue", "one"), ("street", "two"), ("street", "three")}


def test_a_clone_without_the_manifest_is_told_to_pull_and_can(workspace: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    config = workspace / ".dvc" / "config"
    config.write_text(config.read_text() + f"['remote \"shelf\"']\n    url = {remote}\n")
    dvc_data.add_all(workspace)
    dvc_data.push(workspace, "shelf")
    shutil.rmtree(workspace / ".dvc" / "cache")
    shutil.rmtree(workspace / "data")
    with pytest.raises(ThreadlineError, match="dvc pull"):
        dvc_data.manifest(workspace)
    with pytest.raises(ThreadlineError):
        dvc_data.pull(workspace, "no-such-remote")
    dvc_data.pull(workspace, "shelf")
    assert (workspace / "data/street/two/images/a.jpg").read_text() == "2"
    assert len(dvc_data.manifest(workspace).files) == 4


def test_editing_a_checked_out_file_leaves_the_cache_whole(workspace: Path) -> None:
    dvc_data.add_all(workspace)
    md5 = dvc_data.manifest(workspace).files["street/two/images/a.jpg"]
    (workspace / "data/street/two/images/a.jpg").write_text("scribble")
    cached = workspace / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    assert cached.read_text() == "2"


@pytest.mark.parametrize("content", ["", "outs: []\n", "- a\n", "outs:\n- path: data\n", "{"])
def test_a_damaged_data_dvc_is_refused_with_a_remedy(workspace: Path, content: str) -> None:
    (workspace / "data.dvc").write_text(content)
    with pytest.raises(ThreadlineError, match=r"data\.dvc"):
        dvc_data.data_version(workspace)


def test_a_directory_that_is_no_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThreadlineError, match="no DVC repository"):
        dvc_data.add_all(tmp_path)


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_inside_git_nothing_is_staged_and_telemetry_is_off(
    tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    root = tmp_path / below
    root.mkdir(parents=True, exist_ok=True)
    dvc_data.init(root)
    dvc_data.init(root)
    write_batch(root, "street/two", "2")
    dvc_data.add_all(root)
    staged = subprocess.run(
        ["git", "-C", str(root), "diff", "--cached", "--name-only"], check=True, capture_output=True, text=True
    ).stdout
    assert "data" not in staged
    config = (root / ".dvc" / "config").read_text()
    assert "analytics = False" in config
    assert "check_update = False" in config
    assert dvc_data.manifest(root).files
