"""What the trainings learn from: plain rows with absolute paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NotEnoughData(ValueError):  # noqa: N818 - read as a sentence: "raises NotEnoughData"
    """There is too little to learn from; the message says what is missing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Segmentation:
    """A photo and the mask of the person in it."""

    photo_id: str
    image: Path
    sha256: str
    mask: Path
    mask_sha256: str
    split: str


@dataclass(frozen=True)
class ArticleImages:
    """An article with its images (at least one) and what is known of it."""

    article_id: str
    images: tuple[Path, ...]
    sha256: tuple[str, ...]
    category: str
    attributes: dict[str, str]
    split: str


@dataclass(frozen=True)
class LookPhoto:
    """A photo in which `articles` (ids) are worn."""

    photo_id: str
    domain: str
    image: Path
    sha256: str
    mask: Path | None
    mask_sha256: str
    articles: tuple[str, ...]
    split: str


@dataclass(frozen=True)
class LookSet:
    """Photos and every article of a pair, of any split."""

    photos: tuple[LookPhoto, ...]
    articles: tuple[ArticleImages, ...]
