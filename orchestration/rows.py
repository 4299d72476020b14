"""Rows of data classes as JSON files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from contracts.files import write_text

Row = TypeVar("Row")


def write_rows(path: Path, rows: Sequence[Any], kind: type[Row]) -> None:
    """Write rows in one step."""
    write_text(path, TypeAdapter(list[kind]).dump_json(list(rows)).decode())  # type: ignore[valid-type] # a run-time type


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote."""
    return TypeAdapter(list[kind]).validate_json(path.read_bytes())  # type: ignore[valid-type] # a run-time type
