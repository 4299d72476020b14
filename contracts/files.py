"""Writing files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq


class Place(Protocol):
    """Where a derived table lies: a `pathlib.Path`, or its like in an object store, where a file is put whole."""

    def __truediv__(self, key: str, /) -> Place:
        """The place of that name below."""

    @property
    def name(self) -> str:
        """The last part."""

    def exists(self) -> bool:
        """Whether there is something."""

    def is_file(self) -> bool:
        """Whether there is a file."""

    def glob(self, pattern: str) -> Iterable[Place]:
        """What lies below and matches."""

    def read_bytes(self) -> bytes:
        """The file's bytes."""

    def read_text(self, encoding: str) -> str:
        """The file's text."""

    def write_bytes(self, data: bytes, /) -> int:
        """Write the file; a reader may see half of it on a `Path` only."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Take the file away."""


_HALF_MADE = ".half-made"
"""How every temporary name ends; nobody else's name does, so that what a killed process left may be deleted."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@contextmanager
def replacing(path: Place) -> Iterator[Path]:
    """Yield a temporary path, beside `path` or on this machine; on success it takes the place of `path` in one step.

    On any error the temporary file goes and `path` stays as it was.
    """
    if not isinstance(path, Path):
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            yield local
            path.write_bytes(local.read_bytes())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_HALF_MADE, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it is renamed to `path`, replacing what was there.

    On any error the temporary directory goes and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_HALF_MADE, dir=path.parent))
    temporary.chmod(0o755)
    old = temporary.with_name(f"{temporary.name.removesuffix(_HALF_MADE)}.old{_HALF_MADE}")
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left half-made beside `path` on its way to be written."""
    half_made = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}(\.old)?{re.escape(_HALF_MADE)}")
    for leftover in path.parent.iterdir() if path.parent.is_dir() else ():
        if half_made.fullmatch(leftover.name):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def printable(path: Path) -> str:
    """The path as text that every terminal and page can show; what is no UTF-8 in it is replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def write_text(path: Place, text: str) -> None:
    """Write `text` to `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Place, value: Any) -> None:
    """Write `value` as indented JSON to `path` in one step."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_table(path: Place, table: pa.Table) -> None:
    """Write an Arrow table as Parquet to `path` in one step."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Place, columns: list[str] | None = None) -> pa.Table:
    """The Arrow table of a Parquet file, or only these `columns` of it."""
    return pq.ParquetFile(path if isinstance(path, Path) else pa.BufferReader(path.read_bytes())).read(columns)


def sha256_of_bytes(data: bytes) -> str:
    """The SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """A digest of a JSON-able value that does not depend on the order of its keys."""
    return sha256_of_bytes(_CANONICAL.encode(value).encode())


def digest_of_rows(rows: Iterable[Any]) -> str:
    """What `digest_of` gives for the list of `rows`, whose text is never held as a whole."""
    digest = hashlib.sha256(b"[")
    for number, row in enumerate(rows):
        digest.update((("," if number else "") + _CANONICAL.encode(row)).encode())
    digest.update(b"]")
    return digest.hexdigest()
