"""The facts of a batch as tables, one row a thing that can fail. An empty cell is a question that does not arise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from contracts.batches import Article, CatalogueBatch, Pair, Photo, StreetBatch
from orchestration.expectations.picture_facts import MaskFacts, PictureFacts, look_at_all, look_at_pictures, mask_facts
from orchestration.expectations.thresholds import Thresholds
from orchestration.expectations.twins import find_twins
from orchestration.progress import Reporter


@dataclass(frozen=True)
class KnownData:
    """The ids of the articles and photos accepted so far."""

    articles: frozenset[str] = field(default_factory=frozenset)
    photos: frozenset[str] = field(default_factory=frozenset)


Frames = dict[str, pd.DataFrame]
"""By name: "articles", "photos", "pairs", "images", "masks". `row` and `id` are those of the batch's own table."""


def catalogue_frames(batch: CatalogueBatch, thresholds: Thresholds, progress: Reporter) -> Frames:
    """The tables "articles" and "images" of a catalogue batch."""
    articles = pd.DataFrame([_article(row, article) for row, article in enumerate(batch.articles)])
    named = [
        (row, article.article_id, image, digest)
        for row, article in enumerate(batch.articles)
        if article.op != "delete"
        for image, digest in zip(article.images, _padded(article.sha256, len(article.images)), strict=True)
    ]
    return {"articles": articles, "images": _images(batch.root, named, thresholds, progress)[0]}


def street_frames(batch: StreetBatch, known: KnownData, thresholds: Thresholds, progress: Reporter) -> Frames:
    """The tables "photos", "images", "masks" and "pairs" of a street batch."""
    shown = [(row, photo) for row, photo in enumerate(batch.photos) if photo.op != "delete"]
    named = [(row, photo.photo_id, photo.image, photo.sha256) for row, photo in shown]
    images, facts = _images(batch.root, named, thresholds, progress)
    sizes = {row: fact.size for (row, *_), fact in zip(named, facts, strict=True)}
    masked = [(row, photo) for row, photo in shown if photo.mask is not None]
    look = partial(_mask_of, batch.root, sizes)
    masks = look_at_all(look, masked, "looking at masks", progress)
    photos = known.photos | {photo.photo_id for _, photo in shown}
    return {
        "photos": pd.DataFrame([_photo(row, photo) for row, photo in enumerate(batch.photos)]),
        "images": images,
        "masks": pd.DataFrame([_mask(row, one, fact) for (row, one), fact in zip(masked, masks, strict=True)]),
        "pairs": pd.DataFrame([_pair(row, pair, photos, known.articles) for row, pair in enumerate(batch.pairs)]),
    }


def _article(row: int, article: Article) -> dict[str, Any]:
    kept = article.op != "delete"
    return {
        "row": row,
        "id": article.article_id or "",
        "image": article.images[0] if article.images else "",
        "op": article.op or "",
        "category": article.category if kept else None,
        "images": float(len(article.images)) if kept else None,
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
    root: Path, named: Sequence[tuple[int, str, str, str]], thresholds: Thresholds, progress: Reporter
) -> tuple[pd.DataFrame, list[PictureFacts]]:
    facts = look_at_pictures(root, [image for _, _, image, _ in named], progress)
    twins = find_twins(facts, [key for _, key, _, _ in named], thresholds)
    rows = []
    for place, ((row, key, image, digest), fact) in enumerate(zip(named, facts, strict=True)):
        seen: dict[str, Any] = {"row": row, "id": key, "image": image, "problem": fact.problem}
        if fact.problem is None:
            seen |= _appearance(fact, digest)
            twin = twins.get(place)
            exact = twin is not None and facts[twin].sha256 == fact.sha256
            seen["same_as"] = named[twin][1] if twin is not None and exact else None
            seen["looks_like"] = named[twin][1] if twin is not None and not exact else None
        rows.append(seen)
    columns = ["row", "id", "image", "problem", "altered", "side_px", "aspect", "spread", "same_as", "looks_like"]
    return pd.DataFrame(rows, columns=columns), facts


def _appearance(fact: PictureFacts, digest: str) -> dict[str, Any]:
    return {
        "altered": None if digest in ("", fact.sha256) else f"SHA-256 {fact.sha256[:12]}…, expected {digest[:12]}…",
        "side_px": float(min(fact.size)),
        "aspect": max(fact.size) / min(fact.size),
        "spread": fact.spread,
    }


def _mask_of(root: Path, sizes: dict[int, tuple[int, int]], masked: tuple[int, Photo]) -> MaskFacts:
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
