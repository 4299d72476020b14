"""The facts of sound pictures, kept by digest: a picture is looked at once, whatever it is delivered in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.files import read_table, write_table
from orchestration.code_versions import code_version
from orchestration.expectations.picture_facts import PictureFacts

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("sha256", pa.string()),
    ("height", pa.int32()),
    ("width", pa.int32()),
    ("ending", pa.string()),
    ("spread", pa.float64()),
    ("background", pa.float64()),
    ("look", pa.uint64()),
    ("red", pa.float64()),
    ("green", pa.float64()),
    ("blue", pa.float64()),
]
_SCHEMA = pa.schema(_COLUMNS)


class FactTable:
    """Facts by digest, in one file below `home` that is named by the code which finds them.

    A table that cannot be read counts as empty: it is made again from the pictures.
    """

    def __init__(self, home: Path) -> None:
        version = code_version(("orchestration.expectations.picture_facts",), ("imagehash", "pillow"))
        self._path = home / f"picture_facts-{version}.parquet"
        self._table = self._read()
        self._places = {str(sha256): place for place, sha256 in enumerate(self._table["sha256"].to_pylist())}

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._places

    def get(self, sha256: str) -> PictureFacts | None:
        """The facts of the picture with that digest, if they are kept."""
        place = self._places.get(sha256)
        if place is None:
            return None
        (row,) = self._table.slice(place, 1).to_pylist()
        size, colour = (row["height"], row["width"]), (row["red"], row["green"], row["blue"])
        return PictureFacts(None, sha256, size, row["ending"], row["spread"], row["background"], row["look"], colour)

    def places(self, digests: Iterable[str]) -> NDArray[np.intp]:
        """The rows of `digests` in the columns below; -1 where the facts are not kept."""
        return np.fromiter((self._places.get(digest, -1) for digest in digests), dtype=np.intp)

    @property
    def looks(self) -> NDArray[np.uint64]:
        """The perceptual hashes, (N,)."""
        return np.asarray(self._table["look"], dtype=np.uint64)

    @property
    def colours(self) -> NDArray[np.float32]:
        """The mean colours, (N, 3)."""
        return np.stack([np.asarray(self._table[name], np.float32) for name in ("red", "green", "blue")], axis=1)

    @property
    def sides_px(self) -> NDArray[np.float64]:
        """The smaller sides, (N,)."""
        height, width = (np.asarray(self._table[name], dtype=np.float64) for name in ("height", "width"))
        return np.minimum(height, width)

    def add(self, facts: Iterable[PictureFacts]) -> None:
        """Keep the facts of the sound pictures that are not kept yet."""
        new = {one.sha256: one for one in facts if one.problem is None and one.sha256 not in self._places}
        if new:
            fresh = pa.Table.from_pylist([_row(one) for one in new.values()], schema=_SCHEMA)
            self._write(pa.concat_tables([self._table, fresh]))

    def forget(self, sha256: str) -> bool:
        """Drop the facts of a picture; whether there were any."""
        place = self._places.get(sha256)
        if place is not None:
            self._write(pa.concat_tables([self._table.slice(0, place), self._table.slice(place + 1)]))
        return place is not None

    def _read(self) -> pa.Table:
        try:
            return read_table(self._path).cast(_SCHEMA)
        except (OSError, pa.ArrowInvalid, ValueError):
            return _SCHEMA.empty_table()

    def _write(self, table: pa.Table) -> None:
        write_table(self._path, table)
        self._table = table
        self._places = {str(sha256): place for place, sha256 in enumerate(table["sha256"].to_pylist())}


def _row(fact: PictureFacts) -> dict[str, object]:
    colours = dict(zip(("red", "green", "blue"), fact.colour, strict=True))
    plain = {name: getattr(fact, name) for name in ("sha256", "ending", "spread", "background", "look")}
    return {**plain, "height": fact.size[0], "width": fact.size[1], **colours}
