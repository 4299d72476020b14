"""What was purged: the training sets let go of it at once, whatever they admit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from orchestration.home import Home
from training.sets import ArticleImages, LookSet, Segmentation

Erased = frozenset[tuple[str, str]]
"""The id of a photo or article with the digest of a picture of it."""


def erased(home: Home) -> Erased:
    """Everything that the notes of purges name; the same id with another picture is another matter."""
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((home.root / "purged").glob("*.json"))]
    return frozenset((str(note["key"]), str(sha256)) for note in notes for sha256 in note["sha256"])


def masks_left(rows: Iterable[Segmentation], gone: Erased) -> list[Segmentation]:
    """The rows whose photo is not `gone`."""
    return [row for row in rows if (row.photo_id, row.sha256) not in gone]


def articles_left(rows: Iterable[ArticleImages], gone: Erased) -> list[ArticleImages]:
    """The rows none of whose images is `gone`."""
    return [row for row in rows if gone.isdisjoint((row.article_id, sha256) for sha256 in row.sha256)]


def looks_left(looks: LookSet, gone: Erased) -> LookSet:
    """The photos and articles that are not `gone`, and of the photos those that still show an article."""
    articles = articles_left(looks.articles, gone)
    there = {row.article_id for row in articles}
    photos = [
        replace(photo, articles=tuple(one for one in photo.articles if one in there))
        for photo in looks.photos
        if (photo.photo_id, photo.sha256) not in gone
    ]
    return LookSet(tuple(photo for photo in photos if photo.articles), tuple(articles))
