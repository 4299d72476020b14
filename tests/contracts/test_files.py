from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from contracts.files import (
    digest_of,
    digest_of_rows,
    new_directory,
    read_table,
    remove_leftovers,
    replacing,
    sha256_of_bytes,
    sha256_of_file,
    write_json,
    write_table,
    write_text,
)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for content in ("old", "new"):
        with new_directory(path) as temporary:
            (temporary / content).touch()
        assert [each.name for each in path.iterdir()] == [content]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_an_error_leaves_the_old_directory(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with new_directory(path) as temporary:
        (temporary / "old").touch()
    with pytest.raises(RuntimeError), new_directory(path) as temporary:
        (temporary / "new").touch()
        raise RuntimeError
    assert [each.name for each in path.iterdir()] == ["old"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_directory_that_cannot_be_moved_into_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    with new_directory(path) as temporary:
        (temporary / "old").touch()

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no"), new_directory(path):
        pass
    assert [each.name for each in path.iterdir()] == ["old"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_what_was_left_half_made_is_removed_and_nobody_elses_hidden_copy(tmp_path: Path) -> None:
    with replacing(tmp_path / "autumn") as file, new_directory(tmp_path / "winter") as directory:
        killed = [file.name, directory.name.replace("winter", "autumn")]
    for name in (*killed, ".autumn.20270412", ".autumn.20270412.old"):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path / "autumn")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"autumn", "winter", ".autumn.20270412", ".autumn.20270412.old"}


def test_json_and_tables_come_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": "Größe", "a": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"b": "Größe", "a": [1, None]}
    table = pa.table({"x": [1, 2], "y": ["a", None]})
    write_table(tmp_path / "a.parquet", table)
    assert read_table(tmp_path / "a.parquet").equals(table)


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert sha256_of_file(tmp_path / "file") == sha256_of_bytes(b"abc") == expected
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])
    for rows in ([], [{"b": "Größe", "a": 1.5}], [[1, None], {"x": True}, "text"]):
        assert digest_of_rows(iter(rows)) == digest_of(rows)
