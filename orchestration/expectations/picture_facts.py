"""What can be told of one picture, or one mask, by looking at it once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from contracts.batches import inside
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_bytes
from contracts.images import Picture, Size, UnreadableImage, decode, size_of
from contracts.masks import read_mask
from orchestration.progress import Reporter
from orchestration.sources.pictures import ending_of

LOOK = (64, 64)
"""Pictures are decoded at a reduced scale that is at least this (height, width)."""

BACKGROUND_LEVELS = 24
"""A pixel belongs to the background when no channel is further than this from the border's median colour."""

_Item = TypeVar("_Item")
_Fact = TypeVar("_Fact")


@dataclass(frozen=True)
class PictureFacts:
    """Of a picture: what keeps it from being used (None: nothing), or else what it looks like.

    `ending` is the file ending of its true format, `spread` the standard deviation of its grey levels, `background`
    the share of it that has the colour of its border, `look` its 64-bit perceptual hash, `colour` its mean (R, G, B).
    """

    problem: str | None = None
    sha256: str = ""
    size: Size = (0, 0)
    ending: str = ""
    spread: float = 0.0
    background: float = 0.0
    look: int = 0
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


class KeptFacts(Protocol):
    """Facts that were found before, by digest."""

    def get(self, sha256: str) -> PictureFacts | None:
        """The facts of the picture with that digest, if they are kept."""
        ...


@dataclass(frozen=True)
class MaskFacts:
    """Of a mask: what keeps it from being used (None: nothing), or else the share of its photo that it covers."""

    problem: str | None = None
    share: float = 0.0


def file_in(root: Path, relative: str) -> Path:
    """The path of a file of the batch `root`. Raises UnreadableImage saying what is wrong with it."""
    try:
        return _file_in(root, relative)
    except OSError as error:  # such as a name that is longer than any file's
        raise UnreadableImage(f"cannot be read ({error.strerror})") from error


def _file_in(root: Path, relative: str) -> Path:
    try:
        path = inside(root, relative)
    except (ThreadlineError, ValueError) as error:
        turned = "\\" in relative
        raise UnreadableImage("written with \\; use /" if turned else "the path leaves the batch") from error
    parts = PurePosixPath(relative).parts
    if any(root.joinpath(*parts[:depth]).is_symlink() for depth in range(1, len(parts) + 1)):
        raise UnreadableImage("a link, not a file of the batch")
    if not path.is_file():
        raise UnreadableImage("the file is missing")
    return path


def picture_facts(root: Path, relative: str, kept: KeptFacts | None = None) -> PictureFacts:
    """Look at the picture `relative` of the batch `root`, unless its facts are `kept` under its digest.

    Never raises for what the file holds.
    """
    try:
        data = file_in(root, relative).read_bytes()
        sha256 = sha256_of_bytes(data)
        found = kept.get(sha256) if kept is not None else None
        return found or _look(data, sha256)
    except (UnreadableImage, ValueError) as error:
        return PictureFacts(problem=str(error))
    except OSError as error:
        return PictureFacts(problem=f"cannot be read ({error.strerror})")


def mask_facts(root: Path, relative: str, photo: Size) -> MaskFacts:
    """Look at the mask `relative` of a photo of `photo` (height, width). Never raises for what the file holds."""
    try:
        path = file_in(root, relative)
        size = size_of(path.read_bytes())
        if photo != (0, 0) and size != photo:
            return MaskFacts(f"the mask is {_words(size)} px, its photo {_words(photo)}")
        return MaskFacts(None, float(read_mask(path).mean()))
    except UnreadableImage as error:
        return MaskFacts(f"the mask: {str(error).removeprefix(f'{root / relative}: ')}")
    except OSError as error:
        return MaskFacts(f"the mask cannot be read ({error.strerror})")


def look_at_all(look: Callable[[_Item], _Fact], items: Sequence[_Item], stage: str, progress: Reporter) -> list[_Fact]:
    """`look` at every item, in order, on all cores: decoding and hashing leave the interpreter's lock."""
    facts = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, fact in enumerate(pool.map(look, items), 1):
            facts.append(fact)
            progress(stage, done, len(items))
    return facts


def look_at_pictures(
    root: Path, paths: Sequence[str], progress: Reporter, kept: KeptFacts | None = None
) -> list[PictureFacts]:
    """The facts of the pictures `paths` of the batch `root`, in order."""
    return look_at_all(partial(picture_facts, root, kept=kept), paths, "looking at pictures", progress)


def _look(data: bytes, sha256: str) -> PictureFacts:
    import imagehash

    size, ending = size_of(data), ending_of(data)
    reduced = Image.fromarray(decode(data, at_least=LOOK)).resize((LOOK[1], LOOK[0]), Image.Resampling.BOX)
    pixels = np.asarray(reduced)
    grey = np.asarray(reduced.convert("L"), dtype=np.float32)
    look = int.from_bytes(np.packbits(imagehash.phash(reduced).hash).tobytes(), "big")
    red, green, blue = (float(mean) for mean in pixels.mean(axis=(0, 1)))
    return PictureFacts(None, sha256, size, ending, float(grey.std()), _background(pixels), look, (red, green, blue))


def _background(pixels: Picture) -> float:
    """The share of `pixels` (H, W, 3) that has the median colour of the outermost rows and columns."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    channels = zip(pixels.astype(np.int16).transpose(2, 0, 1), np.median(border, axis=0), strict=True)
    plain = np.logical_and.reduce([np.abs(values - middle) <= BACKGROUND_LEVELS for values, middle in channels])
    return float(plain.mean())


def _words(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
