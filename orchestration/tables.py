"""The catalogue and the photos as they are now: the accepted batches laid over each other, in the ledger's order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from contracts.batches import (
    Article,
    CatalogueBatch,
    Pair,
    Photo,
    StreetBatch,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.files import Place, digest_of, digest_of_rows, sha256_of_file
from contracts.ledger import read_ledger


def batches_in_order(data: Path, present: Iterable[str]) -> list[str]:
    """The names of the batches that are `present`, earliest accepted first."""
    order = {row.batch: row.sequence for row in read_ledger(data)}
    return sorted(present, key=lambda batch: (order.get(batch, -1), batch))


def merge_catalogue(batches: Iterable[tuple[str, CatalogueBatch]]) -> list[Article]:
    """Lay the named batches over each other; paths become relative to `data/`.

    A later row replaces an earlier one but keeps its images when it brings none; `delete` removes.
    """
    merged: dict[str, Article] = {}
    for name, batch in batches:
        for article in batch.articles:
            before = merged.pop(article.article_id, None)
            if article.op == "delete":
                continue
            if article.images:
                images = tuple(f"catalogue/{name}/{image}" for image in article.images)
                merged[article.article_id] = replace(article, images=images)
            elif before is not None:
                merged[article.article_id] = replace(article, images=before.images, sha256=before.sha256)
    return sorted(merged.values(), key=lambda article: article.article_id)


def merge_street(batches: Iterable[tuple[str, StreetBatch]]) -> tuple[list[Photo], list[Pair]]:
    """Lay the named batches over each other; paths become relative to `data/`. Pairs stay in delivered order."""
    photos: dict[str, Photo] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    for name, batch in batches:
        for photo in batch.photos:
            photos.pop(photo.photo_id, None)
            if photo.op != "delete":
                mask = f"street/{name}/{photo.mask}" if photo.mask else None
                photos[photo.photo_id] = replace(photo, image=f"street/{name}/{photo.image}", mask=mask)
        for pair in batch.pairs:
            pairs[pair.photo_id, pair.article_id] = pair
    kept = [pair for pair in pairs.values() if pair.photo_id in photos]
    return sorted(photos.values(), key=lambda photo: photo.photo_id), kept


def build_catalogue(data: Path, present: Iterable[str], out: Place) -> tuple[list[Article], str]:
    """Merge the `present` catalogue batches into `out`. Returns the articles and their data version."""
    names = batches_in_order(data, present)
    articles = merge_catalogue((name, read_catalogue_batch(data / "catalogue" / name)) for name in names)
    write_catalogue_batch(out, articles)
    return articles, digest_of_rows(vars(article) for article in articles)


def build_photos(data: Path, present: Iterable[str], out: Place) -> tuple[list[Photo], list[Pair], str]:
    """Merge the `present` street batches into `out`. Returns the photos, the pairs and their data version."""
    names = batches_in_order(data, present)
    photos, pairs = merge_street((name, read_street_batch(data / "street" / name)) for name in names)
    write_street_batch(out, photos, pairs)
    boxes = [[p.photo_id, p.article_id, vars(p.box) if p.box else None] for p in pairs]
    masks = [sha256_of_file(data / p.mask) if p.mask else None for p in photos]
    rows = [[p.photo_id, p.domain, p.image, p.sha256, p.mask, mask] for p, mask in zip(photos, masks, strict=True)]
    return photos, pairs, digest_of([rows, boxes])


def batch_of(path: str) -> str:
    """The batch that a path relative to `data/` lies in."""
    return path.split("/")[1]
