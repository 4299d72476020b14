"""CSV files as spreadsheets write them, and as they should not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from orchestration.sources.tables import UNCLOSED, read_csv

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


@pytest.mark.parametrize(
    "text",
    [
        "image,name\n0.jpg,Dress\n",
        "sep=;\r\nimage;name\r\n0.jpg;Dress\r\n",
        "image;name;;\n0.jpg;Dress;;\n",
        "image,name\n0.jpg,Dress,,\n",
        "\timage\tname\n0\t0.jpg\tDress\n",
        "\n  \nImage,NAME\n0.jpg,Dress\n",
    ],
    ids=["plain", "with Excel's word", "trailing columns", "longer rows", "with pandas' index", "in capitals"],
)
def test_what_programs_export_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, newline="")
    (row,) = read_csv(tmp_path / "t.csv", ["image"], known=["image", "name"]).rows
    assert row.values == {"image": "0.jpg", "name": "Dress"} and not row.problem


def test_known_columns_are_known_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Image,Article ID,in-stock,Colour\n0.jpg,A1,yes,red\n")
    table = read_csv(tmp_path / "t.csv", ["image"], known=["image", "article_id", "in_stock"])
    assert table.columns == ("image", "article_id", "in_stock", "Colour")


@pytest.mark.parametrize("last", ["9.jpg,Dress 9,x", '9.jpg,"Dress, 9",x', '9.jpg,"two\nlines",x'])
def test_a_quote_that_is_not_closed_swallows_no_other_row(tmp_path: Path, last: str) -> None:
    rows = ["image,name,more", '1.jpg,"Dress, 1",x', '2.jpg,"Dress 2,x', "3.jpg,Dress 3,x", '4.jpg,5" heels,x', last]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    found = read_csv(tmp_path / "t.csv", ["image"]).rows
    assert [row.line for row in found] == [2, 3, 4, 5, 6]
    assert [row.problem for row in found] == ["", UNCLOSED, "", "", ""]
    assert [row.values["image"] for row in found] == ["1.jpg", "", "3.jpg", "4.jpg", "9.jpg"]
    assert found[3].values["name"] == '5" heels'


def test_a_quote_that_a_later_row_closes_swallows_no_row(tmp_path: Path) -> None:
    rows = ["image,name,more", '1.jpg,"Dress 1,x', "2.jpg,Dress 2,x", '3.jpg,5",x', '4.jpg,"soft,\n5.jpg, warm",x']
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    found = read_csv(tmp_path / "t.csv", ["image"], is_row=lambda values: values["image"] in ("2.jpg", "3.jpg")).rows
    assert [(row.line, row.problem) for row in found] == [(2, UNCLOSED), (3, ""), (4, ""), (5, "")]
    assert [row.values["name"] for row in found[1:]] == ["Dress 2", '5"', "soft,\n5.jpg, warm"]


def test_a_value_too_long_to_read_costs_its_row_only(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"image,name\n0.jpg,{'x' * 200_000}\n1.jpg,Dress\n")
    first, second = read_csv(tmp_path / "t.csv", ["image"]).rows
    assert "limit" in first.problem
    assert (second.line, second.values["name"], second.problem) == (3, "Dress", "")


def test_a_row_without_all_fields_is_known_as_short(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,name,more,,\n0.jpg,Dress\n1.jpg,Dress,\n")
    assert [row.short for row in read_csv(tmp_path / "t.csv", ["image"]).rows] == [True, False]


def test_a_value_of_several_lines_is_one_value(tmp_path: Path) -> None:
    text = 'image,name\n0.jpg,"soft, warm,\nand ""red"", really, so"\n1.jpg,"5" heels\n2.jpg,x,y\n'
    (tmp_path / "t.csv").write_text(text)
    found = read_csv(tmp_path / "t.csv", ["image"]).rows
    assert [(row.line, row.values["name"]) for row in found[:2]] == [
        (2, 'soft, warm,\nand "red", really, so'),
        (4, "5 heels"),
    ]
    assert found[2].problem == "the row has more fields than the header"
