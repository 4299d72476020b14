"""The bodies that the service answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from contracts.index import Hit


class ArticleFound(BaseModel):
    """An article. `score` is the cosine similarity, higher is closer; `rerank_score` a logit, higher is closer."""

    article_id: str
    score: float
    rerank_score: float | None = None
    name: str
    category: str
    assortments: list[str]
    attributes: dict[str, str]
    image_url: str | None
    url: str | None
    price: float | None
    in_stock: bool | None


class Articles(BaseModel):
    """Articles, closest first, and the release that found them: the package's version and its collection."""

    release: str
    collection: str
    took_ms: dict[str, float]
    results: list[ArticleFound]


class PhotoSeen(BaseModel):
    """What was seen in a photo.

    `person_found` and `person_share` (of the photo's pixels) are null where the release does not segment;
    `segmented` is a `data:` URL of the picture that was searched with, where it was asked for.
    """

    person_found: bool | None
    person_share: float | None
    segmented: str | None = None


class SearchAnswer(Articles, PhotoSeen):
    """The articles that are closest to the outfit in a photo."""


class CategoryFound(BaseModel):
    """The best articles of one category."""

    category: str
    results: list[ArticleFound]


class LookAnswer(PhotoSeen):
    """The best articles of each category found in the outfit, best category first."""

    release: str
    collection: str
    took_ms: dict[str, float]
    categories: list[CategoryFound]


class ReleaseAnswer(BaseModel):
    """The release that serves. `loaded_s` is Unix time."""

    version: str
    digest: str
    method: str
    collection: str
    run_id: str
    data_version: str
    code_version: str
    articles: int
    segments: bool
    reranks: bool
    precision: str
    loaded_s: float


class Health(BaseModel):
    """Whether the service lives, or is ready; `problem` says what keeps a newer release from serving."""

    status: str
    problem: str | None = None


def article(hit: Hit, prefix: str, logits: Mapping[str, float] | None = None) -> ArticleFound:
    """The body for `hit`; `prefix` is the path below which a proxy serves the application."""
    payload: Mapping[str, Any] = hit.payload
    address = f"{prefix}/v1/articles/{quote(hit.article_id, safe='')}/image"
    return ArticleFound(
        article_id=hit.article_id,
        score=hit.score,
        rerank_score=(logits or {}).get(hit.article_id),
        name=payload.get("name") or "",
        category=payload.get("category") or "",
        assortments=list(payload.get("assortments") or ()),
        attributes=dict(payload.get("attributes") or {}),
        image_url=address if payload.get("image") else None,
        url=payload.get("url"),
        price=payload.get("price"),
        in_stock=payload.get("in_stock"),
    )
