from __future__ import annotations

from pathlib import Path

from contracts.ledger import LedgerRow, read_ledger, write_ledger


def row(sequence: int, batch: str) -> LedgerRow:
    return LedgerRow(sequence, "catalogue", batch, "a steward", "2026-01-02T03:04:05+00:00", "accepted", "0" * 64)


def test_there_is_no_ledger_at_first(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == []


def test_rows_come_back_in_sequence(tmp_path: Path) -> None:
    write_ledger(tmp_path, [row(2, "b"), row(1, "z"), row(3, "a")])
    assert read_ledger(tmp_path) == [row(1, "z"), row(2, "b"), row(3, "a")]
    write_ledger(tmp_path, [])
    assert read_ledger(tmp_path) == []
