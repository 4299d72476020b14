"""The ledger: one row an accepted batch. Its order defines what "later" means."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from contracts.batches import Kind
from contracts.files import read_table, write_table

LEDGER = "ledger.parquet"

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("sequence", pa.int64()),
    ("kind", pa.string()),
    ("batch", pa.string()),
    ("who", pa.string()),
    ("when", pa.string()),
    ("verdict", pa.string()),
    ("digest", pa.string()),
    ("reason", pa.string()),
]
_SCHEMA = pa.schema(_COLUMNS)


@dataclass(frozen=True)
class LedgerRow:
    """An accepted batch. `when` is ISO 8601 in UTC; `digest` is that of the batch as delivered.

    `reason` is what a steward said who accepted more than the verdict did; empty otherwise.
    """

    sequence: int
    kind: Kind
    batch: str
    who: str
    when: str
    verdict: str
    digest: str
    reason: str = ""


def read_ledger(data: Path) -> list[LedgerRow]:
    """The accepted batches below `data`, earliest first; empty where there is no ledger yet."""
    path = data / LEDGER
    if not path.exists():
        return []
    rows = [LedgerRow(**row) for row in read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: row.sequence)


def write_ledger(data: Path, rows: list[LedgerRow]) -> None:
    """Write the ledger in one step."""
    write_table(data / LEDGER, pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA))
