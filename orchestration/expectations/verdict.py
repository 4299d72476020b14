"""What was decided on a batch, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from contracts.batches import Kind
from contracts.files import write_json

DATA_DOCS = "data_docs"
"""The folder of Great Expectations's pages in a report."""

VERDICT = "verdict.json"

CONTACT_SHEET = "contact_sheet.png"
"""The rows that failed, with the reason: a picture in a report."""

Status = Literal["accepted", "accepted_with_quarantine", "rejected", "already_accepted"]


@dataclass(frozen=True)
class RowProblem:
    """A row that failed, or (`warning`) should be looked at. `row` counts from 0; -1 is the table as a whole."""

    table: str
    row: int
    id: str
    image: str
    reason: str
    warning: bool = False


@dataclass(frozen=True)
class Verdict:
    """The decision on a batch. `rows` are its problems, `statistics` its counts, `report` the page to read."""

    kind: Kind
    batch: str
    status: Status
    rows: tuple[RowProblem, ...]
    statistics: dict[str, float]
    report: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the batch, or what is left of it, becomes data."""
        return self.status != "rejected"

    def failed(self, table: str) -> set[int]:
        """The rows of `table` to set aside."""
        return {one.row for one in self.rows if one.table == table and not one.warning and one.row >= 0}

    def lines(self, most: int = 10) -> list[str]:
        """The verdict as lines for a terminal, with at most `most` problems; rows are counted from 1 there."""
        words = self.status.replace("_", " ")
        lines = [f"{self.kind}/{self.batch}: {words}"]
        for one in self.rows[:most]:
            sort = "warning" if one.warning else "set aside" if self.accepted else "problem"
            row = f" row {one.row + 1}" if one.row >= 0 else ""
            lines.append(f"  {sort}: {one.table}{row} {one.id}: {one.reason}".rstrip())
        if len(self.rows) > most:
            lines.append(f"  and {len(self.rows) - most:,} more")
        return lines


def write_verdict(root: Path, verdict: Verdict) -> None:
    """Write `verdict.json` into the directory `root`."""
    write_json(root / VERDICT, asdict(verdict))


def read_verdict(root: Path) -> Verdict:
    """Read what `write_verdict` wrote. Raises FileNotFoundError."""
    value: dict[str, Any] = json.loads((root / VERDICT).read_text(encoding="utf-8"))
    return Verdict(**{**value, "rows": tuple(RowProblem(**row) for row in value["rows"])})
