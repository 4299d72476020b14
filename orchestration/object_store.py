"""Files in an object store, for the derived tables that several machines read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from contracts.errors import ThreadlineError
from orchestration.services import without_password


@dataclass(frozen=True)
class StoredFile:
    """A `contracts.files.Place` in a store that fsspec knows; `address` is such as `s3://bucket/prefix/name`.

    A file is put in one request, or in parts that are joined by the last one: nobody reads half of it. Nothing is
    remembered between two looks, for other machines write too. What the store refuses is a ThreadlineError that names
    it, on every method; a file that is not there is a FileNotFoundError, as in a file system.
    """

    address: str

    def __str__(self) -> str:
        return without_password(self.address)

    def __truediv__(self, key: str, /) -> StoredFile:
        return StoredFile(f"{self.address.rstrip('/')}/{key}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rstrip("/").rpartition("/")[2]

    def exists(self) -> bool:
        """Whether there is such a file. Never False for a store that cannot be asked."""
        try:
            with self._asked() as (store, path):
                return bool(store.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    is_file = exists

    def glob(self, pattern: str) -> Iterator[StoredFile]:
        """The files directly below whose names match."""
        try:
            with self._asked() as (store, path):
                below = store.ls(path, detail=True)
        except FileNotFoundError:
            return
        names = (str(one["name"]).rpartition("/")[2] for one in below if one["type"] == "file")
        yield from (self / name for name in sorted(names) if fnmatchcase(name, pattern))

    def read_bytes(self) -> bytes:
        """The file's bytes. Raises FileNotFoundError."""
        with self._asked() as (store, path):
            return bytes(store.cat_file(path))

    def read_text(self, encoding: str) -> str:
        """The file as text. Raises FileNotFoundError."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes, /) -> int:
        """Put the file, whole or not at all. Returns how many bytes it has."""
        try:
            with self._asked() as (store, path):
                store.pipe_file(path, data)
        except FileNotFoundError as error:  # of the bucket
            raise self._refused(error) from None
        return len(data)

    def unlink(self, missing_ok: bool = False) -> None:
        """Take the file away. Raises FileNotFoundError where there is none, unless that is fine."""
        if self.exists():
            with self._asked() as (store, path):
                store.rm_file(path)
        elif not missing_ok:
            raise FileNotFoundError(str(self))

    @contextmanager
    def _asked(self) -> Iterator[tuple[Any, str]]:
        """The store and the path in it; every store has errors of its own."""
        import fsspec

        try:
            yield fsspec.core.url_to_fs(self.address, use_listings_cache=False)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> ThreadlineError:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        remedy = (
            "see that the store is there and THREADLINE_DERIVED_ROOT is right (`threadline doctor` tries it), then run "
            "the same command again: what was put is whole, and only what is missing is made"
        )
        return ThreadlineError(f"{self}: the object store of derived tables cannot be used: {reason}", remedy)
