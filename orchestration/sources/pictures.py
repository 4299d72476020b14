"""Copying pictures into a batch: bytes unchanged, named by id, ending by what they truly are."""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from PIL import Image

from contracts.batches import inside
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_bytes
from contracts.images import ACCEPTED_FORMATS, UnreadableImage

ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}
KNOWN_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class ImagesBelow:
    """The files below the directory `root`, by what tables call them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, given: str) -> Path:
        """The file that a table calls `given`: as it stands, below `images/`, or without its ending.

        Where there is none, one whose name differs in upper and lower case only, or in how accents are composed.
        Raises ThreadlineError when the path leaves the directory, FileNotFoundError when no one file is meant.
        """
        relative = str(PurePosixPath(given.replace("\\", "/")))
        names = [below + ending for below in (relative, f"images/{relative}") for ending in ("", *KNOWN_ENDINGS)]
        for name in names:
            path = inside(self._root, name)
            if path.is_file():
                return path
        for name in names:
            alike = self._by_plain_name.get(_plain(name), [])
            if len(alike) == 1:
                return inside(self._root, alike[0])
            if alike:
                raise FileNotFoundError(f"{given}: it may be any of {', '.join(alike)}")
        raise FileNotFoundError(given)

    def has(self, given: str) -> bool:
        """Whether a table that says `given` means a file."""
        try:
            return bool(given and self.find(given))
        except (ThreadlineError, OSError, ValueError):
            return False

    @cached_property
    def _by_plain_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self._root.rglob("*")):
            if path.is_file():
                name = path.relative_to(self._root).as_posix()
                found[_plain(name)].append(name)
        return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


@dataclass(frozen=True)
class CopiedPicture:
    """A picture in a batch: its path relative to the batch and the SHA-256 of its bytes."""

    path: str
    sha256: str


def directory(path: Path, what: str) -> Path:
    """`path`, if it is a directory. Raises ThreadlineError otherwise."""
    if not path.is_dir():
        raise ThreadlineError(f"{path} is not a directory", f"give the directory with {what}")
    return path


def safe_name(key: str) -> str:
    """A file name for the id `key`: itself where that is plain, otherwise made plain and told apart by a digest."""
    plain = _UNSAFE.sub("_", key)
    if plain == key and not key.startswith(".") and len(key) <= 100:
        return key
    return f"{plain[:80].lstrip('.')}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def ending_of(data: bytes) -> str:
    """The file ending of an encoded picture, by its content. Raises UnreadableImage when it is none."""
    try:
        with Image.open(io.BytesIO(data), formats=ACCEPTED_FORMATS) as image:
            return ENDINGS[image.format or ""]
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError) as error:
        raise UnreadableImage("not a picture in a known format") from error


def copy_picture(source: Path, batch: Path, name: str) -> CopiedPicture:
    """Copy `source` to `images/<name>.<ending>` in the directory `batch`.

    Only the header is looked at here; whether the rest decodes is for validation to say. Raises UnreadableImage when
    the file cannot be read or is no picture.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be read ({error.strerror})") from error
    path = f"images/{name}{ending_of(data)}"
    target = batch / path
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    return CopiedPicture(path, sha256_of_bytes(data))
