"""The training sets: exactly what each model's loss reads, and a data version that covers just that.

Rows hold paths relative to `data/` (or, for predicted masks, to the home), so that a workspace can move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contracts.batches import Article, Pair, Photo
from contracts.errors import ThreadlineError
from contracts.files import digest_of, digest_of_rows, sha256_of_file
from contracts.splits import Member
from orchestration.dvc_data import manifest
from orchestration.home import Home
from training.sets import ArticleImages, LookPhoto, LookSet, Segmentation


def admits(newcomers: int, members: int, share: float) -> bool:
    """Whether a set of so many `members` takes in that many `newcomers`: when they are at least this `share` of it."""
    return members == 0 or (newcomers > 0 and newcomers >= share * members)


def admitted_masks(now: Sequence[Segmentation], before: Sequence[Segmentation], share: float) -> list[Segmentation]:
    """The rows that Street2Fashion learns from: all there are, or those of before with their corrections."""
    newcomers = {row.photo_id for row in now} - {row.photo_id for row in before}
    if admits(len(newcomers), len(before), share):
        return list(now)
    corrected = {row.photo_id: row for row in now}
    return [corrected.get(row.photo_id, row) for row in before]


def admitted_articles(
    now: Sequence[ArticleImages], before: Sequence[ArticleImages], share: float
) -> list[ArticleImages]:
    """The rows that FashionDNA learns from: all there are, or those of before with their corrections."""
    newcomers = {row.article_id for row in now} - {row.article_id for row in before}
    return list(now) if admits(len(newcomers), len(before), share) else _corrected(now, before)


def admitted_looks(now: LookSet, before: LookSet, share: float) -> LookSet:
    """The pairs that the matching models learn from: all there are, or those of before."""
    newcomers = _pairs(now) - _pairs(before)
    if admits(len(newcomers), len(_pairs(before)), share):
        return now
    return LookSet(before.photos, tuple(_corrected(now.articles, before.articles)))


def _corrected(now: Sequence[ArticleImages], before: Sequence[ArticleImages]) -> list[ArticleImages]:
    """The members of before with today's category and attributes.

    Who left, and a picture that a later batch replaced, count at the next admission: neither is worth a training by
    itself. A picture that was replaced in place counts at once, because the old one is gone.
    """
    today = {row.article_id: row for row in now}
    rows = []
    for old in before:
        row = today.get(old.article_id, old)
        rows.append(row if row.images == old.images else replace(row, images=old.images, sha256=old.sha256))
    return rows


def _pairs(looks: LookSet) -> set[tuple[str, str]]:
    return {(photo.photo_id, article_id) for photo in looks.photos for article_id in photo.articles}


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


def with_masks(looks: LookSet, model: str, by: str, home: Home) -> LookSet:
    """The set with the mask of each photo that `model` predicted (see `Home.mask`), its path relative to the home."""
    photos = tuple(
        replace(
            photo,
            mask=home.mask(model, by, photo.sha256).relative_to(home.root),
            mask_sha256=digest_of([model, by, photo.sha256]),
        )
        for photo in looks.photos
    )
    return LookSet(photos, looks.articles)


def look_version(looks: LookSet) -> str:
    """The data version of a look set."""
    return digest_of([version_of(looks.photos), version_of(looks.articles, without=("images", "attributes"))])


def version_of(rows: Sequence[Any], *, without: tuple[str, ...] = ("image", "images", "mask")) -> str:
    """The data version of a set: every field of every row but the paths, which are not read by any loss."""
    return digest_of_rows({key: value for key, value in vars(row).items() if key not in without} for row in rows)


def resolve_masks(rows: Sequence[Segmentation], data: Path) -> list[Segmentation]:
    """The rows with absolute paths, without those whose batch was removed.

    Raises ThreadlineError where a file is missing that the data version names, as the others here do.
    """
    gone = _removed(data, [path for row in rows for path in (row.image, row.mask)])
    kept = [row for row in rows if gone.isdisjoint((row.image, row.mask))]
    return [replace(row, image=data / row.image, mask=data / row.mask) for row in kept]


def resolve_articles(rows: Sequence[ArticleImages], data: Path) -> list[ArticleImages]:
    """The rows with absolute paths, without those whose batch was removed."""
    gone = _removed(data, [image for row in rows for image in row.images])
    kept = [row for row in rows if gone.isdisjoint(row.images)]
    return [replace(row, images=tuple(data / image for image in row.images)) for row in kept]


def resolve_looks(looks: LookSet, data: Path, home: Path) -> LookSet:
    """The set with absolute paths; photos and articles lie in `data`, predicted masks in `home`.

    Photos and articles whose batch was removed are left out, and photos of which no article is left.
    """
    articles = resolve_articles(looks.articles, data)
    there = {article.article_id for article in articles}
    gone = _removed(data, [photo.image for photo in looks.photos])
    photos = (
        replace(
            photo,
            image=data / photo.image,
            mask=home / photo.mask if photo.mask else None,
            articles=tuple(article_id for article_id in photo.articles if article_id in there),
        )
        for photo in looks.photos
        if photo.image not in gone
    )
    return LookSet(tuple(photo for photo in photos if photo.articles), tuple(articles))


def _removed(data: Path, paths: Sequence[Path]) -> set[Path]:
    """Those of `paths`, relative to `data`, that are no more because their batch was removed.

    Raises ThreadlineError where the data version still names one: learning from half of the data would be recorded
    as learning from all of it.
    """
    missing = {path for path in paths if not (data / path).exists()}
    lost = sorted(missing & {Path(name) for name in manifest(data.parent).files}) if missing else []
    if lost:
        raise ThreadlineError(
            f"{len(lost):,} files of this data version are not here, {data / lost[0]} first", "run: dvc pull"
        )
    return missing
