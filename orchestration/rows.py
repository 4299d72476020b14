"""Rows of data classes as JSON files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter

from contracts.files import Place, replacing

Row = TypeVar("Row")


def write_rows(path: Place, rows: Sequence[Any], kind: type[Row]) -> None:
    """Write rows in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(TypeAdapter(list[kind]).dump_json(list(rows)))  # type: ignore[valid-type] # a run-time type


def read_rows(path: Place, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote."""
    return TypeAdapter(list[kind]).validate_json(path.read_bytes())  # type: ignore[valid-type] # a run-time type
