"""What every command prints with: tables and notes for people, JSON for machines, errors on the error stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine instead of text for a person.")]

console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
errors = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
"""Both print what they are given: brackets and colons are part of names, so markup of our own is a `Text`."""


def print_json(value: Any) -> None:
    """Print a value as one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a title; columns whose cells are numbers are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        numbers = bool(rows) and all(str(row[position])[:1].isdigit() for row in rows)
        table.add_column(column, justify="right" if numbers else "left", style=None, header_style="dim")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
