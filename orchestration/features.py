"""Vectors and masks that were computed once, kept by image digest, model digest and precision."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.files import read_table, write_table
from contracts.images import Picture, Size, read

Item = TypeVar("Item")
Vectors = NDArray[np.float32]

CHUNK = 256
"""Pictures computed between two writes: what a kill can cost."""


class FeatureStore:
    """Float32 rows by digest in a directory; every `add` is one new file, complete or absent."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rows: dict[str, Vectors] = {}
        for path in sorted(directory.glob("*.parquet")):
            self._load(read_table(path))

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of `digests` that are not kept yet, each once, in order."""
        return [digest for digest in dict.fromkeys(digests) if digest not in self._rows]

    def get(self, digests: Sequence[str]) -> Vectors:
        """The rows of `digests`, (N, F) float32."""
        return np.stack([self._rows[digest] for digest in digests])

    def add(self, digests: Sequence[str], rows: Vectors) -> None:
        """Keep the rows (N, F) under their digests."""
        flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        table = pa.table({"digest": pa.array(list(digests)), "vector": vectors})
        write_table(self._directory / f"{uuid.uuid4().hex}.parquet", table)
        self._load(table)

    def _load(self, table: pa.Table) -> None:
        digests = [str(digest) for digest in table.column("digest").to_pylist()]
        self._rows.update(zip(digests, matrix(table, "vector"), strict=True))


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
