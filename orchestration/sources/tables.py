"""Reading people's CSV files, with errors that say what to do."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ThreadlineError

DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """A row of a CSV file: its line (the header is line 1) and its values, stripped, by column."""

    line: int
    values: dict[str, str]
    ragged: bool = False
    """It has more fields than the header: its values cannot be trusted."""


@dataclass(frozen=True)
class CsvTable:
    """A CSV file as read."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_csv(path: Path, required: Sequence[str], renamed: Mapping[str, str] | None = None) -> CsvTable:
    """Read a CSV file in UTF-8, or UTF-16 with its byte order mark, separated by comma, semicolon or tab.

    `renamed` maps the names that are meant to the names the file uses; one column of the file may serve several.
    Raises ThreadlineError naming the file and what to do: missing, empty, in another encoding, or without a
    `required` column.
    """
    text = _text(path)
    first = text.splitlines()[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader)]
        _check_header(path, header)
        names = _names(path, header, required, renamed or {})
        rows = tuple(_row(reader.line_num, header, names, fields) for fields in reader if any(map(str.strip, fields)))
    except csv.Error as error:
        raise ThreadlineError(
            f"{path} line {reader.line_num}: {error}", "repair the line or export the CSV again"
        ) from error
    return CsvTable(path, tuple(names), rows)


def _text(path: Path) -> str:
    if not path.is_file():
        raise ThreadlineError(f"{path} is missing", "put that CSV file there, or give the place where it lies")
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding == "utf-8-sig" and b"\0" in data:
        raise ThreadlineError(
            f"{path} is not plain text: it holds zero bytes, as UTF-16 without its mark does",
            f"save it as UTF-8, for example: iconv -f utf-16le -t utf-8 '{path.name}' > utf8.csv",
        )
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ThreadlineError(
            f"{path} line {line} is not in {encoding.removesuffix('-sig').upper()} (byte {error.start})",
            f"save it as UTF-8, for example: iconv -f latin1 -t utf-8 '{path.name}' > utf8.csv",
        ) from error
    if not text.strip():
        raise ThreadlineError(f"{path} is empty", "give a CSV with a header line and one line a row")
    return text.lstrip()


def _check_header(path: Path, header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ThreadlineError(f"{path}: the column '{twice[0]}' is there twice", "rename or remove one of them")


def _names(path: Path, header: list[str], required: Sequence[str], renamed: Mapping[str, str]) -> dict[str, int]:
    """The place of each column, by the name that is meant."""
    for wanted, given in renamed.items():
        if given not in header:
            raise ThreadlineError(
                f"{path}: there is no column '{given}' to take as '{wanted}'", f"its columns are: {', '.join(header)}"
            )
    used = set(renamed.values())
    names = {name: place for place, name in enumerate(header) if name and name not in used}
    names.update({wanted: header.index(given) for wanted, given in renamed.items()})
    for name in required:
        if name not in names:
            raise ThreadlineError(
                f"{path}: the column '{name}' is missing",
                f"add it, or rename one of its columns: {', '.join(header)}",
            )
    return names


def _row(line: int, header: list[str], names: dict[str, int], fields: list[str]) -> Row:
    values = {name: fields[place].strip() if place < len(fields) else "" for name, place in names.items()}
    return Row(line, values, ragged=len(fields) > len(header))
