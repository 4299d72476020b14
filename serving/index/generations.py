"""Generations of a collection on disk: immutable directories, private copies to read them, and what guards both.

    <root>/<collection>/<generation>/shard/           the vectors and payloads, as the engine keeps them
    <root>/<collection>/<generation>/points.parquet   article id, point id and digests of every point
    <root>/<collection>/<generation>/generation.json  count, dimension, when it was made
    <root>/.open/<copy>/                              the private copies of those who read

A directory without a dot in front is complete. Names never come back, so that a reference always means one content.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from contracts.errors import ThreadlineError
from contracts.files import new_directory, read_table, write_json, write_table
from contracts.index import Points, point_id
from serving.index.difference import REBUILD, Digests

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_COPY_BYTES = 1 << 22

NEVER_WRITTEN = frozenset({"matrix.dat", "quantized.data", "links_compressed.bin"})
"""The vectors and the graph of a collection that has one, nearly all of its bytes: the engine only reads them."""
_GENERATION = re.compile(r"(\d{6,})-[0-9a-f]{8}")


@dataclass(frozen=True)
class Generation:
    """A complete state of a collection, in the directory `path`."""

    path: Path

    @property
    def reference(self) -> str:
        """The name under which it is opened: "<collection>/<generation>"."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def number(self) -> int:
        """Its place among the generations of its collection: higher is newer."""
        return int(self.path.name.partition("-")[0])

    @property
    def shard(self) -> Path:
        """The engine's directory."""
        return self.path / "shard"

    def dimension(self) -> int:
        """The length of its vectors."""
        return int(json.loads((self.path / "generation.json").read_text(encoding="utf-8"))["dimension"])

    def digests(self) -> dict[str, Digests]:
        """The digests of its points by article, from the sidecar alone."""
        table = read_table(self.path / "points.parquet")
        columns = [table.column(name).to_pylist() for name in ("article_id", "vector_digest", "payload_digest")]
        return {article_id: (vector, payload) for article_id, vector, payload in zip(*columns, strict=True)}


class Generations:
    """The generations below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def all(self) -> list[Generation]:
        """Every complete generation, by collection, oldest first."""
        found = [Generation(path) for path in self._root.glob("[!.]*/[!.]*") if _GENERATION.fullmatch(path.name)]
        return sorted(found, key=lambda each: (each.path.parent.name, each.number))

    def latest(self, collection: str) -> Generation | None:
        """The newest generation of a collection; None where there is none."""
        return max((each for each in self.all() if each.path.parent.name == collection), key=_number, default=None)

    def find(self, reference: str) -> Generation:
        """The generation that `reference` names. Raises ThreadlineError when it is malformed or gone."""
        collection, _, name = reference.partition("/")
        path = self._root / collection / name
        if not (_NAME.fullmatch(collection) and _GENERATION.fullmatch(name) and path.is_dir()):
            raise ThreadlineError(f"there is no collection '{reference}'", REBUILD)
        return Generation(path)

    @contextmanager
    def building(self, collection: str) -> Iterator[None]:
        """Hold the right to build in `collection`; what a killed builder left behind is cleared first."""
        if not _NAME.fullmatch(collection):
            raise ThreadlineError(f"'{collection}' cannot name a collection", "use letters, digits, dots and dashes")
        folder = self._root / collection
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            for leftover in folder.glob(".*/"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield

    @contextmanager
    def draft(self, collection: str, previous: Generation | None) -> Iterator[tuple[Path, str]]:
        """Yield an empty directory and the reference it gets; on success it becomes the newest generation."""
        number = previous.number + 1 if previous else 1
        name = f"{number:06d}-{secrets.token_hex(4)}"
        with new_directory(self._root / collection / name) as directory:
            yield directory, f"{collection}/{name}"

    @contextmanager
    def private_copy(self, generation: Generation) -> Iterator[Path]:
        """Yield a copy of the generation's shard that nobody else uses; it goes on leaving, or when the owner dies.

        The engine writes into what it opens, so a generation itself is never opened. Files that it only reads are
        shared with the generation. Raises ThreadlineError when
        the generation goes away meanwhile.
        """
        folder = self._root / ".open"
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            _clear_dead(folder)
            copy = Path(tempfile.mkdtemp(dir=folder))
            owner = _lock(copy / ".owner")
        try:
            copy_tree(generation.shard, copy / "shard", linked=NEVER_WRITTEN)
            yield copy / "shard"
        except FileNotFoundError as error:
            raise ThreadlineError(f"the collection '{generation.reference}' is gone", "open the newest one") from error
        finally:
            shutil.rmtree(copy, ignore_errors=True)
            os.close(owner)

    def drop(self, reference: str) -> None:
        """Remove a generation: out of sight in one step, then from the disk."""
        generation = self.find(reference)
        doomed = generation.path.with_name(f".{generation.path.name}.{secrets.token_hex(4)}")
        generation.path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def write_sidecar(directory: Path, points: Points, payload_digests: tuple[str, ...]) -> None:
    """Write `points.parquet` and `generation.json` into the draft `directory`."""
    columns: Mapping[str, list[str]] = {
        "article_id": list(points.article_ids),
        "point_id": [point_id(article_id) for article_id in points.article_ids],
        "vector_digest": list(points.vector_digests),
        "payload_digest": list(payload_digests),
    }
    write_table(
        directory / "points.parquet", pa.table({key: pa.array(column, pa.string()) for key, column in columns.items()})
    )
    made = {
        "count": len(points.article_ids),
        "dimension": points.vectors.shape[1],
        "created": datetime.now(UTC).isoformat(),
    }
    write_json(directory / "generation.json", made)


def copy_tree(source: Path, target: Path, linked: frozenset[str] = frozenset()) -> None:
    """Copy a directory; holes of its files, which the engine sets aside generously, stay holes.

    Files of the names `linked` are the same ones in both places, where the file system has hard links.
    """
    target.mkdir()
    for entry in source.iterdir():
        if entry.is_dir():
            copy_tree(entry, target / entry.name, linked)
        elif entry.name not in linked or not _link(entry, target / entry.name):
            _copy_file(entry, target / entry.name)


def _link(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:  # no hard links here, or none to somebody else's files
        return False
    return True


def _copy_file(source: Path, target: Path) -> None:
    size = source.stat().st_size
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.truncate(size)
        end = 0
        while end < size:
            try:
                start = os.lseek(reader.fileno(), end, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return
            end = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            while start < end:
                start += _copy_some(reader.fileno(), writer.fileno(), start, end)


def _copy_some(reader: int, writer: int, start: int, end: int) -> int:
    """Copy bytes from `start` on, before `end`, and tell how many: by the kernel where it can."""
    with suppress(AttributeError, OSError):  # not every system has it, and not every file system
        return os.copy_file_range(reader, writer, end - start, start, start)
    return os.pwrite(writer, os.pread(reader, min(_COPY_BYTES, end - start), start), start)


def _clear_dead(folder: Path) -> None:
    """Remove the private copies whose owner holds no lock any more: its process died."""
    for copy in folder.glob("[!.]*/"):
        try:
            os.close(_lock(copy / ".owner", wait=False))
        except BlockingIOError:
            continue
        shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = _lock(path)
    try:
        yield
    finally:
        os.close(handle)


def _lock(path: Path, *, wait: bool = True) -> int:
    """An open file with an exclusive lock, which ends with it or with the process. Raises BlockingIOError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _number(generation: Generation) -> int:
    return generation.number
