"""The facts of a batch as tables, one row a thing that can fail. An empty cell is a question that does not arise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd

from contracts.batches import Article, CatalogueBatch, Pair, Photo, StreetBatch
from contracts.images import Size
from contracts.vocabulary import CATEGORIES
from orchestration.expectations.fact_table import FactTable
from orchestration.expectations.history import compare_with_the_past
from orchestration.expectations.known import KnownData, KnownPicture
from orchestration.expectations.likeness import NamedPicture, find_likenesses
from orchestration.expectations.picture_facts import (
    MaskFacts,
    PictureFacts,
    look_at_all,
    look_at_pictures,
    mask_facts,
    picture_facts,
)
from orchestration.expectations.thresholds import Thresholds
from orchestration.progress import Reporter

Frames = dict[str, pd.DataFrame]
"""By name: "articles", "photos", "pairs", "images", "masks", and "batch" (one row, of the whole batch: its `row` is
-1). `row` and `id` are those of the batch's own table."""

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_TIFF = (".tif", ".tiff")


def catalogue_frames(
    batch: CatalogueBatch, known: KnownData, table: FactTable, thresholds: Thresholds, progress: Reporter
) -> Frames:
    """The tables "articles", "images" and "batch" of a catalogue batch."""
    articles = [_article(row, article, known) for row, article in enumerate(batch.articles)]
    named = [
        NamedPicture(row, article.article_id, image, digest)
        for row, article in enumerate(batch.articles)
        if article.op != "delete"
        for image, digest in zip(article.images, _padded(article.sha256, len(article.images)), strict=True)
    ]
    images, facts = _images(batch.root, named, known, table, thresholds, progress)
    categories = [article.category for article in batch.articles if article.op != "delete"]
    past = compare_with_the_past(facts, categories, known, table, thresholds)
    return {"articles": pd.DataFrame(articles), "images": images, "batch": _batch(past)}


def street_frames(
    batch: StreetBatch, known: KnownData, table: FactTable, thresholds: Thresholds, progress: Reporter
) -> Frames:
    """The tables "photos", "images", "masks", "pairs" and "batch" of a street batch."""
    shown = [(row, photo) for row, photo in enumerate(batch.photos) if photo.op != "delete"]
    named = [NamedPicture(row, photo.photo_id, photo.image, photo.sha256) for row, photo in shown]
    images, facts = _images(batch.root, named, known, table, thresholds, progress)
    sizes = {one.row: fact.size for one, fact in zip(named, facts, strict=True)}
    masked = [(row, photo) for row, photo in shown if photo.mask is not None]
    look = partial(_mask_of, batch.root, sizes)
    masks = look_at_all(look, masked, "looking at masks", progress)
    photos = known.photos | {photo.photo_id for _, photo in shown}
    return {
        "photos": pd.DataFrame([_photo(row, photo) for row, photo in enumerate(batch.photos)]),
        "images": images,
        "masks": pd.DataFrame([_mask(row, one, fact) for (row, one), fact in zip(masked, masks, strict=True)]),
        "pairs": pd.DataFrame([_pair(row, pair, photos, known.articles) for row, pair in enumerate(batch.pairs)]),
        "batch": _batch(compare_with_the_past(facts, [], known, table, thresholds)),
    }


def _batch(past: dict[str, float | None]) -> pd.DataFrame:
    return pd.DataFrame([{"row": -1, "id": "", "image": "", **past}])


def _article(row: int, article: Article, known: KnownData) -> dict[str, Any]:
    kept = article.op != "delete"
    new = article.category.strip() and article.category not in (*CATEGORIES, *known.categories)
    update = not article.images and article.article_id in known.articles
    priced = article.price is None or 0 <= article.price < inf
    return {
        "row": row,
        "id": article.article_id or "",
        "image": article.images[0] if article.images else "",
        "op": article.op or "",
        "category": article.category if kept else None,
        "new_category": article.category if kept and new else None,
        "price_problem": None if priced or not kept else str(article.price),
        "images": float(len(article.images)) if kept and not update else None,
        "digests_missing": float(abs(len(article.images) - len(article.sha256))) if kept else None,
    }


def _photo(row: int, photo: Photo) -> dict[str, Any]:
    return {
        "row": row,
        "id": photo.photo_id or "",
        "image": photo.image,
        "op": photo.op or "",
        "domain": photo.domain,
    }


def _images(
    root: Path,
    named: Sequence[NamedPicture],
    known: KnownData,
    table: FactTable,
    thresholds: Thresholds,
    progress: Reporter,
) -> tuple[pd.DataFrame, list[PictureFacts]]:
    facts = look_at_pictures(root, [one.image for one in named], progress, table)
    _look_at_the_known(known, table, progress)
    table.add(facts)
    likenesses = find_likenesses(named, facts, known.pictures, table, thresholds)
    rows = []
    for one, fact, likeness in zip(named, facts, likenesses, strict=True):
        seen: dict[str, Any] = {"row": one.row, "id": one.owner, "image": one.image, "problem": fact.problem}
        rows.append(seen if fact.problem else seen | _appearance(one, fact) | vars(likeness))
    columns = ["row", "id", "image", "problem", "altered", "misnamed", "side_px", "aspect", "spread", "background"]
    return pd.DataFrame(rows, columns=[*columns, "same_as", "looks_like", "replaces"]), facts


def _look_at_the_known(known: KnownData, table: FactTable, progress: Reporter) -> None:
    """Fill the table up with the accepted pictures that are not in it: none, unless the home was deleted."""
    missing = [one for one in known.pictures if one.sha256 not in table]
    if missing:
        table.add(look_at_all(_look_at_known, missing, "looking at accepted pictures", progress))


def _look_at_known(one: KnownPicture) -> PictureFacts:
    return picture_facts(one.path.parent, one.path.name)


def _appearance(one: NamedPicture, fact: PictureFacts) -> dict[str, Any]:
    described, true = one.sha256, fact.sha256
    return {
        "altered": None if described == true else f"SHA-256 {true[:12]}…, expected {described[:12] or 'none'}…",
        "misnamed": None if _ends_rightly(one.image, fact.ending) else f"{Path(one.image).suffix} ({fact.ending})",
        "side_px": float(min(fact.size)),
        "aspect": max(fact.size) / min(fact.size),
        "spread": fact.spread,
        "background": fact.background,
    }


def _ends_rightly(image: str, ending: str) -> bool:
    given = Path(image).suffix.lower()
    return given == ending or any(given in same and ending in same for same in (_JPEG, _TIFF))


def _mask_of(root: Path, sizes: dict[int, Size], masked: tuple[int, Photo]) -> MaskFacts:
    row, photo = masked
    return mask_facts(root, photo.mask or "", sizes[row])


def _mask(row: int, photo: Photo, fact: MaskFacts) -> dict[str, Any]:
    share = None if fact.problem else fact.share
    return {"row": row, "id": photo.photo_id, "image": photo.image, "problem": fact.problem, "share": share}


def _pair(row: int, pair: Pair, photos: frozenset[str], articles: frozenset[str]) -> dict[str, Any]:
    box = pair.box
    fits = box is None or (0 <= box.top < box.bottom <= box.height and 0 <= box.left < box.right <= box.width)
    return {
        "row": row,
        "id": f"{pair.photo_id} / {pair.article_id}",
        "image": "",
        "unknown_photo": None if pair.photo_id in photos else str(pair.photo_id),
        "unknown_article": None if pair.article_id in articles else str(pair.article_id),
        "box_problem": None if fits else f"{box}",
    }


def _padded(digests: Sequence[str], count: int) -> list[str]:
    return [*digests[:count], *[""] * (count - len(digests))]
