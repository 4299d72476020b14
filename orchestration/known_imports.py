"""What was imported before: so that a folder in which nothing changed is not read again.

After an import is accepted, a note is kept in the home under a digest of everything that the import was made from: the
source and its options, its code, and path, size and time of change of every file of the folder, but no file's content.
The note names the batches. It counts only as long as the ledger and DVC's manifest have these very batches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.batches import Kind
from contracts.files import digest_of, write_json
from contracts.ledger import LedgerRow, read_ledger
from orchestration import dvc_data
from orchestration.code_versions import code_version
from orchestration.places import Places


@dataclass(frozen=True)
class KnownImport:
    """An accepted import: its report as plain values, and the kind, name and digest of each of its batches."""

    report: dict[str, Any]
    batches: list[tuple[Kind, str, str]]


def key_of(source: str, folders: Sequence[Path], options: Mapping[str, Any]) -> str:
    """The key of importing `folders` (directories, or single files) with these plain-valued `options`."""
    listed = [[str(folder.resolve()), list(_listing(folder))] for folder in folders]
    return digest_of([source, dict(options), listed, _code()])


def find_import(places: Places, key: str) -> KnownImport | None:
    """The import of that key, if all its batches still are in the ledger, in `data/` and in the data version."""
    path = _note(places, key)
    if not path.is_file():
        return None
    value = json.loads(path.read_text(encoding="utf-8"))
    known = KnownImport(value["report"], [(kind, name, digest) for kind, name, digest in value["batches"]])
    accepted = {(row.kind, row.batch, row.digest) for row in read_ledger(places.data)}
    if not all(batch in accepted and places.accepted(*batch[:2]).is_dir() for batch in known.batches):
        return None
    versioned = dvc_data.batch_digests(dvc_data.manifest(places.root).files)
    return known if all(batch[:2] in versioned for batch in known.batches) else None


def keep_import(places: Places, key: str, report: dict[str, Any], kinds: Sequence[Kind], batch: str) -> None:
    """Keep the note of an import whose batches named `batch`, one of each of `kinds`, were all accepted."""
    rows = {(row.kind, row.batch): row for row in read_ledger(places.data)}
    batches = [_named(rows[kind, batch]) for kind in kinds]
    write_json(_note(places, key), asdict(KnownImport(report, batches)))


def _named(row: LedgerRow) -> tuple[Kind, str, str]:
    return row.kind, row.batch, row.digest


def _note(places: Places, key: str) -> Path:
    return places.home / "imports" / f"{key}.json"


def _listing(root: Path) -> Iterator[tuple[str, int, int]]:
    """Path, size in bytes and time of change in ns of every file below `root`, links followed, each directory once."""
    if not root.is_dir():
        if root.exists():
            yield ".", root.stat().st_size, root.stat().st_mtime_ns
        return
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            status = path.stat() if path.exists() else path.lstat()
            yield path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns


def _code() -> str:
    """The version of the importers' code, of all of them together."""
    modules = sorted(path.stem for path in (Path(__file__).parent / "sources").glob("*.py"))
    return code_version(("contracts.batches", *(f"orchestration.sources.{name}" for name in modules)))
