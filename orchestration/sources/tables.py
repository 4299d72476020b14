"""Reading people's CSV files, with errors that say what to do."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from contracts.errors import ThreadlineError

DELIMITERS = (",", ";", "\t")
UNCLOSED = "a quote is opened in this line and not closed in its row"

_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """A row of a CSV file: its line (the header is line 1 as a rule) and its values, stripped, by column."""

    line: int
    values: dict[str, str]
    problem: str = ""
    """Why its values cannot be trusted."""
    short: bool = False
    """It has no field for some of the columns: their values are empty."""


@dataclass(frozen=True)
class CsvTable:
    """A CSV file as read."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_csv(
    path: Path,
    required: Sequence[str],
    renamed: Mapping[str, str] | None = None,
    known: Sequence[str] = (),
    is_row: Callable[[Mapping[str, str]], bool] | None = None,
) -> CsvTable:
    """Read a CSV file in UTF-8, or UTF-16 with its byte order mark, separated by comma, semicolon or tab.

    `renamed` maps the names that are meant to the names the file uses; one column of the file may serve several. The
    `known` names are meant however they are written ("Article ID"). Columns without a name are passed over. `is_row`
    tells by its values that a line inside quotes is a row, which a quote in a row above must not swallow.
    Raises ThreadlineError naming the file and what to do: missing, empty, in another encoding, or without a
    `required` column.
    """
    lines = list(io.StringIO(_text(path), newline=""))
    above = next(number for number, line in enumerate(lines) if line.strip(" \r\n"))
    if (told := _SEPARATOR.fullmatch(lines[above])) is not None:  # Excel's
        above += 1
    if above == len(lines):
        raise _empty(path)
    delimiter = told[1] if told else max(DELIMITERS, key=lines[above].count)
    line, fields, below = next(_records(lines, above, delimiter))
    if isinstance(fields, str):
        raise ThreadlineError(f"{path} line {line}: {fields}", "repair the header, or export the CSV again")
    header = _header(path, [name.strip() for name in fields], known, renamed or {})
    names = _names(path, header, required, renamed or {})

    def swallowed(text: str) -> bool:
        alone = _row(0, _fields(text, delimiter), header, names)
        return is_row is not None and not alone.problem and not alone.short and is_row(alone.values)

    records = _records(lines, below, delimiter, swallowed)
    rows = (_row(line, fields, header, names) for line, fields, _ in records if _says(fields))
    return CsvTable(path, tuple(names), tuple(rows))


def _records(
    lines: Sequence[str], start: int, delimiter: str, swallowed: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[int, list[str] | str, int]]:
    """The records from the line at `start` on: the first line, counted from 1; the fields; the index after the last.

    Instead of fields what is wrong, where a quote is opened and not closed, or only after a line that is `swallowed`:
    the record ends with its first line, and those below are read by themselves.
    """
    while start < len(lines):
        begin = start
        strict = csv.reader(islice(lines, start, None), delimiter=delimiter, strict=True)
        try:
            for fields in strict:
                end = start + strict.line_num
                if any(map(swallowed, lines[begin + 1 : end])):
                    raise csv.Error
                yield begin + 1, fields, end
                begin = end
            return
        except csv.Error:
            start = begin + 1
            closed = lines[begin].count('"') % 2 == 0
            yield start, _fields(lines[begin], delimiter) if closed else UNCLOSED, start


def _fields(line: str, delimiter: str) -> list[str] | str:
    """The fields of a line by itself, or why it cannot be read."""
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        return str(error)


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
        raise _empty(path)
    return text


def _empty(path: Path) -> ThreadlineError:
    return ThreadlineError(f"{path} is empty", "give a CSV with a header line and one line a row")


def _says(fields: list[str] | str) -> bool:
    return isinstance(fields, str) or any(map(str.strip, fields))


def _header(path: Path, given: list[str], known: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    """The columns by their names, those of `known` as these are written."""
    wanted = {name: name for name in known if name not in given and name not in renamed}
    taken = {*renamed.values()}
    header = [name if name in taken else wanted.get(_plain(name), name) for name in given]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise ThreadlineError(f"{path}: the column '{twice[0]}' is there twice", "rename or remove one of them")
    return header


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_")


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


def _row(line: int, fields: list[str] | str, header: list[str], names: dict[str, int]) -> Row:
    given = [] if isinstance(fields, str) else fields
    values = {name: given[place].strip() if place < len(given) else "" for name, place in names.items()}
    if isinstance(fields, str):
        return Row(line, values, fields)
    if any(map(str.strip, fields[len(header) :])):
        return Row(line, values, "the row has more fields than the header")
    return Row(line, values, short=len(fields) <= max(names.values()))  # Excel leaves trailing empty fields out
