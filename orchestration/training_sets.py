"""The training sets: exactly what each model's loss reads, and a data version that covers just that.

Rows hold paths relative to `data/` (or, for predicted masks, to the home), so that a workspace can move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contracts.batches import Article, Pair, Photo
from contracts.files import digest_of, sha256_of_file
from contracts.splits import Member
from orchestration.home import Home
from training.sets import ArticleImages, LookPhoto, LookSet, Segmentation


def admitted(available: Iterable[str], before: Iterable[str], share: float) -> set[str]:
    """The members of a set: all that are available when the newcomers are at least `share` of the set before.

    Otherwise those of before that are still available.
    """
    now, old = set(available), set(before)
    newcomers = now - old
    return now if len(newcomers) >= share * max(1, len(old)) else now & old


def mask_rows(photos: Sequence[Photo], sides: Mapping[Member, str], data: Path) -> list[Segmentation]:
    """The photos that have a ground-truth mask."""
    return [
        Segmentation(
            photo_id=photo.photo_id,
            image=Path(photo.image),
            sha256=photo.sha256,
            mask=Path(photo.mask),
            mask_sha256=sha256_of_file(data / photo.mask),
            split=sides["photo", photo.photo_id],
        )
        for photo in photos
        if photo.mask
    ]


def article_rows(articles: Iterable[Article], sides: Mapping[Member, str]) -> list[ArticleImages]:
    """The articles that have images."""
    return [
        ArticleImages(
            article_id=article.article_id,
            images=tuple(Path(image) for image in article.images),
            sha256=article.sha256,
            category=article.category,
            attributes=article.attributes,
            split=sides["article", article.article_id],
        )
        for article in articles
        if article.images
    ]


def look_rows(
    photos: Sequence[Photo],
    pairs: Sequence[Pair],
    articles: Sequence[Article],
    sides: Mapping[Member, str],
) -> LookSet:
    """The photos with the articles they show, and those articles.

    Pairs that would bridge two sides, or lead to an article without images, are left out.
    """
    pictured = {article.article_id for article in articles if article.images}
    worn: dict[str, list[str]] = {}
    for pair in pairs:
        one_side = sides.get(("photo", pair.photo_id)) == sides.get(("article", pair.article_id))
        if one_side and pair.article_id in pictured:
            worn.setdefault(pair.photo_id, []).append(pair.article_id)
    looks = tuple(
        LookPhoto(
            photo_id=photo.photo_id,
            domain=photo.domain,
            image=Path(photo.image),
            sha256=photo.sha256,
            mask=None,
            mask_sha256="",
            articles=tuple(sorted(set(worn[photo.photo_id]))),
            split=sides["photo", photo.photo_id],
        )
        for photo in photos
        if photo.photo_id in worn
    )
    members = {article_id for look in looks for article_id in look.articles}
    return LookSet(looks, tuple(article_rows((a for a in articles if a.article_id in members), sides)))


def restricted(looks: LookSet, photo_ids: set[str]) -> LookSet:
    """The set with only these photos, and only the articles they show."""
    photos = tuple(photo for photo in looks.photos if photo.photo_id in photo_ids)
    members = {article_id for photo in photos for article_id in photo.articles}
    return LookSet(photos, tuple(article for article in looks.articles if article.article_id in members))


def with_masks(looks: LookSet, model: str, precision: str, home: Home) -> LookSet:
    """The set with the predicted mask of each photo, its path relative to the home."""
    photos = tuple(
        replace(
            photo,
            mask=home.mask(model, precision, photo.sha256).relative_to(home.root),
            mask_sha256=digest_of([model, precision, photo.sha256]),
        )
        for photo in looks.photos
    )
    return LookSet(photos, looks.articles)


def look_version(looks: LookSet) -> str:
    """The data version of a look set."""
    return digest_of([version_of(looks.photos), version_of(looks.articles, without=("images", "attributes"))])


def version_of(rows: Sequence[Any], *, without: tuple[str, ...] = ("image", "images", "mask")) -> str:
    """The data version of a set: every field of every row but the paths, which are not read by any loss."""
    return digest_of([{key: value for key, value in vars(row).items() if key not in without} for row in rows])


def resolve_masks(rows: Sequence[Segmentation], data: Path) -> list[Segmentation]:
    """The rows with absolute paths."""
    return [replace(row, image=data / row.image, mask=data / row.mask) for row in rows]


def resolve_articles(rows: Sequence[ArticleImages], data: Path) -> list[ArticleImages]:
    """The rows with absolute paths."""
    return [replace(row, images=tuple(data / image for image in row.images)) for row in rows]


def resolve_looks(looks: LookSet, data: Path, home: Path) -> LookSet:
    """The set with absolute paths; photos and articles lie in `data`, predicted masks in `home`."""
    photos = tuple(
        replace(photo, image=data / photo.image, mask=home / photo.mask if photo.mask else None)
        for photo in looks.photos
    )
    return LookSet(photos, tuple(resolve_articles(looks.articles, data)))
