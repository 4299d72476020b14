"""The picture store: every picture decoded once and kept at training size.

A file per size and kind holds records of equal length, one after another; an index beside it says which picture is
which record. The index is written after the data, so that after a crash a torn tail is simply not there.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.errors import ThreadlineError
from contracts.files import write_text
from contracts.images import Size, fit, read
from contracts.masks import fit_mask, read_mask, resize_mask, segmented

Kind = Literal["plain", "segmented", "masked"]
"""The picture alone; the person alone (background white, cropped); the picture with its mask as a fourth channel."""

CHUNK = 512
"""Pictures decoded between two writes: what a crash can lose."""


@dataclass(frozen=True)
class Source:
    """A picture on disk, known by its digest, with a person mask or without."""

    image: Path
    sha256: str
    mask: Path | None = None
    mask_sha256: str = ""

    @property
    def key(self) -> str:
        """What the record is known by."""
        return f"{self.sha256}:{self.mask_sha256}"


class Records(Protocol):
    """Records by row, as an array or a file has them."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


class RecordFile:
    """Records of one `shape` in a file, read when asked for: pages of a map would count as this process's memory.

    The file stays open, so that another one in its place is not taken for it.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path, self._shape = path, shape
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordFile, (self._path, self._shape)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(N, *shape). Raises ThreadlineError when the file ends before a record does."""
        found = np.empty((len(rows), *self._shape), dtype=np.uint8)
        for record, row in zip(found, rows.tolist(), strict=True):
            if os.preadv(self._file, [record], row * record.nbytes) != record.nbytes:
                raise ThreadlineError(f"{self._path} ends within record {row}", "delete it: it is made again")
        return found


class Pictures:
    """Records of the store, in the order asked for; read from disk when a batch is taken."""

    def __init__(self, records: Records, rows: NDArray[np.int64]) -> None:
        self._records = records
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, members: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """The pictures of `members` as (N, H, W, C) uint8."""
        return torch.from_numpy(self._records[self._rows[np.asarray(members, dtype=np.int64)]])

    def batches(self, size: int) -> Iterator[Tensor]:
        """All pictures in order, in batches of at most `size`."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))


class PictureStore:
    """The records of one `size` (height, width) and `kind` below `root`. Several processes may use it at once."""

    def __init__(self, root: Path, size: Size, kind: Kind = "plain", threads: int | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        name = f"{kind}-{size[0]}x{size[1]}"
        self._data, self._index, self._lock = (root / f"{name}.{suffix}" for suffix in ("records", "index", "lock"))
        self._size, self._kind = size, kind
        self._shape = (*size, 4 if kind == "masked" else 3)
        self._length = int(np.prod(self._shape))
        self._threads = threads or os.cpu_count() or 1

    def take(self, sources: Sequence[Source], progress: Callable[[int, int], None] | None = None) -> Pictures:
        """The pictures of `sources`, decoding what is not kept yet; `progress` is told (done, total) of that.

        Raises UnreadableImage naming the path of a picture or mask that cannot be read.
        """
        known = self._known()
        missing = list({source.key: source for source in sources if source.key not in known}.values())
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(missing), CHUNK):
                chunk = missing[start : start + CHUNK]
                self._append([source.key for source in chunk], list(pool.map(self._decode, chunk)))
                if progress:
                    progress(start + len(chunk), len(missing))
        known = self._known()
        rows = np.array([known[source.key] for source in sources], dtype=np.int64)
        if not self._data.exists():
            self._data.touch()  # none of no sources can be read as well
        return Pictures(RecordFile(self._data, self._shape), rows)

    def forget(self, sha256: str) -> int:
        """Blank every record of the picture or mask `sha256` and drop it from the index; how many there were."""
        with self._locked():
            known = self._known()
            gone = [key for key in known if sha256 in key.split(":")]
            if gone:
                with self._data.open("r+b") as file:
                    for key in gone:
                        file.seek(known.pop(key) * self._length)
                        file.write(bytes(self._length))
                write_text(self._index, "".join(f"{row} {key}\n" for key, row in known.items()))
        return len(gone)

    def _decode(self, source: Source) -> NDArray[np.uint8]:
        if self._kind == "plain" or source.mask is None:
            return fit(read(source.image, at_least=self._size), self._size)
        # The person may fill a small part of the photo: twice the size keeps detail for the crop.
        picture = read(source.image, at_least=(2 * self._size[0], 2 * self._size[1]))
        mask = resize_mask(read_mask(source.mask), picture.shape[:2])
        if self._kind == "segmented":
            return fit(segmented(picture, mask), self._size)
        fitted = fit_mask(mask, self._size).astype(np.uint8) * 255
        return np.concatenate([fit(picture, self._size), fitted[..., None]], axis=2)

    def _append(self, keys: Sequence[str], records: Sequence[NDArray[np.uint8]]) -> None:
        with self._locked():
            known = self._known()
            fresh = {key: record for key, record in zip(keys, records, strict=True) if key not in known}
            first = self._data.stat().st_size // self._length if self._data.exists() else 0
            with self._data.open("r+b" if self._data.exists() else "wb") as file:
                file.truncate(first * self._length)
                file.seek(first * self._length)
                file.writelines(record.tobytes() for record in fresh.values())
                file.flush()
                os.fsync(file.fileno())
            lines = "".join(f"{first + place} {key}\n" for place, key in enumerate(fresh))
            with self._index.open("a+b") as index:
                index.seek(0)
                index.truncate(index.read().rfind(b"\n") + 1)  # a line cut short by a crash
                index.write(lines.encode())

    def _known(self) -> dict[str, int]:
        """The record of each key; lines that were cut short, and records that are not there, are passed over."""
        if not self._index.exists() or not self._data.exists():
            return {}
        count = self._data.stat().st_size // self._length
        known = {}
        for line in self._index.read_text(encoding="utf-8").splitlines(keepends=True):
            row, _, key = line.partition(" ")
            if line.endswith("\n") and row.isdigit() and int(row) < count:
                known[key.rstrip("\n")] = int(row)
        return known

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
