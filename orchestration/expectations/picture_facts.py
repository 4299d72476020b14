"""What can be told of one picture, or one mask, by looking at it once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from PIL import Image

from contracts.batches import inside
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_bytes
from contracts.images import Size, UnreadableImage, decode, size_of
from contracts.masks import read_mask
from orchestration.progress import Reporter

LOOK = (64, 64)
"""Pictures are decoded at a reduced scale that is at least this (height, width)."""

_Item = TypeVar("_Item")
_Fact = TypeVar("_Fact")


@dataclass(frozen=True)
class PictureFacts:
    """Of a picture: what keeps it from being used (None: nothing), or else what it looks like.

    `spread` is the standard deviation of its grey levels, `look` its 64-bit perceptual hash, `colour` its mean (R, G,
    B).
    """

    problem: str | None = None
    sha256: str = ""
    size: Size = (0, 0)
    spread: float = 0.0
    look: int = 0
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class MaskFacts:
    """Of a mask: what keeps it from being used (None: nothing), or else the share of its photo that it covers."""

    problem: str | None = None
    share: float = 0.0


def file_in(root: Path, relative: str) -> Path:
    """The path of a file of the batch `root`. Raises UnreadableImage saying what is wrong with it."""
    try:
        path = inside(root, relative)
    except (ThreadlineError, ValueError) as error:
        raise UnreadableImage("the path leaves the batch") from error
    parts = PurePosixPath(relative).parts
    if any(root.joinpath(*parts[:depth]).is_symlink() for depth in range(1, len(parts) + 1)):
        raise UnreadableImage("a link, not a file of the batch")
    if not path.is_file():
        raise UnreadableImage("the file is missing")
    return path


def picture_facts(root: Path, relative: str) -> PictureFacts:
    """Look at the picture `relative` of the batch `root`. Never raises for what the file holds."""
    import imagehash

    try:
        data = file_in(root, relative).read_bytes()
        size = size_of(data)
        picture = decode(data, at_least=LOOK)
    except (UnreadableImage, OSError, ValueError) as error:
        return PictureFacts(problem=str(error))
    reduced = Image.fromarray(picture).resize((LOOK[1], LOOK[0]), Image.Resampling.BOX)
    grey = np.asarray(reduced.convert("L"), dtype=np.float32)
    bits = imagehash.phash(reduced).hash
    red, green, blue = (float(mean) for mean in np.asarray(reduced).mean(axis=(0, 1)))
    look = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return PictureFacts(None, sha256_of_bytes(data), size, float(grey.std()), look, (red, green, blue))


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


def look_at_pictures(root: Path, paths: Sequence[str], progress: Reporter) -> list[PictureFacts]:
    """The facts of the pictures `paths` of the batch `root`, in order."""
    return look_at_all(partial(picture_facts, root), paths, "looking at pictures", progress)


def _words(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
