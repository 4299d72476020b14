"""Vectors and masks that were computed once, kept by image digest, model digest and precision."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.files import read_table, write_table
from contracts.images import Picture, Size, read

Item = TypeVar("Item")
Vectors = NDArray[np.float32]

CHUNK = 256
"""Pictures computed between two writes: what a kill can cost."""


class FeatureStore:
    """Float32 rows by digest in a directory; every `add` is one new file, complete or absent, and never changed.

    The rows of a file are read when one of them is asked for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._contents = _looked_up(directory)
        self._rows: dict[str, dict[str, Vectors]] = {}

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of `digests` that are not kept yet, each once, in order."""
        return [digest for digest in dict.fromkeys(digests) if digest not in self._contents.file_of]

    def get(self, digests: Sequence[str]) -> Vectors:
        """The rows of `digests`, (N, F) float32."""
        return np.stack([self._rows_of(self._contents.file_of[digest])[digest] for digest in digests])

    def add(self, digests: Sequence[str], rows: Vectors) -> None:
        """Keep the rows (N, F) under their digests."""
        flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        table = pa.table({"digest": pa.array(list(digests)), "vector": vectors})
        name = f"{uuid.uuid4().hex}.parquet"
        write_table(self._directory / name, table)
        self._contents.add(name, digests)

    def _rows_of(self, file: str) -> dict[str, Vectors]:
        if file not in self._rows:
            table = read_table(self._directory / file)
            self._rows[file] = dict(zip(_digests(table), matrix(table, "vector"), strict=True))
        return self._rows[file]


def forget(directory: Path, digests: Collection[str]) -> None:
    """Erase what is kept of `digests` from a store's files: each is replaced by a new one without them."""
    for path in list(directory.glob("*.parquet")):
        table = read_table(path)
        kept = table.filter(pc.invert(pc.is_in(table["digest"], value_set=pa.array(list(digests), pa.string()))))
        if kept.num_rows < table.num_rows:
            write_table(directory / f"{uuid.uuid4().hex}.parquet", kept)
            path.unlink()


@dataclass(frozen=True)
class _Contents:
    """The names of a store's files that were looked into, and the one that holds each digest."""

    files: set[str]
    file_of: dict[str, str]

    def add(self, file: str, digests: Iterable[str]) -> None:
        """Note what a file holds."""
        self.file_of.update(dict.fromkeys(digests, file))
        self.files.add(file)


@cache
def _contents(directory: Path) -> _Contents:
    return _Contents(set(), {})


def _looked_up(directory: Path) -> _Contents:
    """What lies in `directory` now. This process has looked into most of its files for an earlier batch already."""
    contents = _contents(directory)
    present = {path.name: path for path in directory.glob("*.parquet")}
    if contents.files - present.keys():
        contents.files.clear()
        contents.file_of.clear()
    for name in sorted(present.keys() - contents.files):
        contents.add(name, _digests(read_table(present[name], ["digest"])))
    return contents


def _digests(table: pa.Table) -> list[str]:
    return [str(digest) for digest in table["digest"].to_pylist()]


def matrix(table: pa.Table, column: str) -> Vectors:
    """A column of fixed-size lists of float32 as (N, F)."""
    parts = [
        chunk.flatten().to_numpy() for chunk in cast("list[pa.FixedSizeListArray[Any, Any]]", table[column].chunks)
    ]
    size = cast("pa.FixedSizeListType[Any, Any]", table.schema.field(column).type).list_size
    return np.concatenate([np.zeros(0, np.float32), *parts]).reshape(-1, size)


def compute_missing(
    store: FeatureStore,
    images: Mapping[str, Path],
    compute: Callable[[Sequence[Picture]], Vectors],
    size: Size | None,
    advance: Callable[[int, int], None],
) -> int:
    """Compute and keep the features of those `images` (digest -> file) that are not kept. Returns how many.

    `size` is the smallest (height, width) to decode at, None for full resolution; `advance(done, total)` is told.
    """
    missing = store.missing(images)
    done = 0
    with ThreadPoolExecutor(2) as pool:
        for chunk in chunks(missing, CHUNK):
            pictures = list(pool.map(lambda digest: read(images[digest], at_least=size), chunk))
            store.add(chunk, compute(pictures))
            done += len(chunk)
            advance(done, len(missing))
    return len(missing)


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items` in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
