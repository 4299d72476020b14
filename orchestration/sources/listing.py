"""The list files of DeepFashion: the number of rows on line 1, the names of the fields on line 2, then the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from contracts.errors import ThreadlineError
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row


def read_list(path: Path, required: Sequence[str], report: ImportReport) -> list[Row]:
    """The rows of a list file, by field; a row with more or fewer fields than line 2 names is left out and reported.

    Raises ThreadlineError naming the file when it cannot be read, does not begin with a number, or has no field of a
    `required` name.
    """
    lines = _lines(path)
    stated = _stated(path, lines)
    header = lines[1].split() if len(lines) > 1 else []
    for name in required:
        if name not in header:
            raise ThreadlineError(
                f"{path} line 2: there is no field '{name}'", f"take the list as published; it has: {' '.join(header)}"
            )
    found = list(_fields(lines, after=2))
    _check_count(path, stated, len(found), report)
    rows = []
    for number, fields in found:
        if len(fields) == len(header):
            rows.append(Row(number, dict(zip(header, fields, strict=True))))
        else:
            report.leave_out("the row has other fields than line 2 names", path.name, number, " ".join(fields))
    return rows


def read_items(path: Path, report: ImportReport) -> frozenset[str]:
    """The items of a `list_item_*.txt`: their number on line 1, then one a line. Raises ThreadlineError."""
    lines = _lines(path)
    stated = _stated(path, lines)
    found = [fields[0] for _, fields in _fields(lines, after=1)]
    _check_count(path, stated, len(found), report)
    return frozenset(found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ThreadlineError(f"{path} is not in UTF-8 (byte {error.start})", "take the list as published") from error
    except OSError as error:
        raise ThreadlineError(f"{path} cannot be read ({error.strerror})", "take the list as published") from error


def _stated(path: Path, lines: list[str]) -> int:
    first = lines[0].strip() if lines else ""
    if not first.isdecimal():
        raise ThreadlineError(
            f"{path} line 1: '{first[:40]}' is not the number of its rows", "take the list as published"
        )
    return int(first)


def _fields(lines: list[str], after: int) -> Iterator[tuple[int, list[str]]]:
    """The number (the first line of a file is 1) and the fields of every line that is not empty."""
    for number, line in enumerate(lines[after:], after + 1):
        fields = line.split()
        if fields:
            yield number, fields


def _check_count(path: Path, stated: int, found: int, report: ImportReport) -> None:
    if stated != found:
        report.leave_out("the list is not as long as it says", path.name, 1, f"it says {stated:,} and holds {found:,}")
