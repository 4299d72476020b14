"""CSV files as spreadsheets write them, and as they should not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from orchestration.sources.tables import read_csv

TEXT = "image;name\r\n0.jpg;Größe 5\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_unicode_that_says_what_it_is_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    (row,) = read_csv(tmp_path / "t.csv", ["image"]).rows
    assert (row.line, row.values) == (2, {"image": "0.jpg", "name": "Größe 5"})


@pytest.mark.parametrize(
    ("data", "words", "remedy"),
    [
        (TEXT.encode("latin-1"), "line 2 is not in UTF-8", "iconv -f latin1"),
        (TEXT.encode("utf-16")[:-1], "is not in UTF-16", "save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "zero bytes", "iconv -f utf-16le"),
        (b"", "is empty", "header"),
        (b"photo,name\n1.jpg,x\n", "the column 'image' is missing", "photo, name"),
        (b"image,image\n1.jpg,x\n", "there twice", "rename"),
    ],
)
def test_what_cannot_be_read_is_named_with_a_remedy(tmp_path: Path, data: bytes, words: str, remedy: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(ThreadlineError) as raised:
        read_csv(path, ["image"])
    assert words in raised.value.problem
    assert str(path) in raised.value.problem
    assert remedy in raised.value.remedy
