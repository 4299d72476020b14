"""The bodies that the service answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from contracts.index import Hit
from serving.ordering import Reranking

_ARTICLE = {
    "article_id": "TRS-0421",
    "name": "Wool trousers",
    "category": "trousers",
    "assortments": ["autumn"],
    "attributes": {"colour": "navy", "length": "long"},
    "image_url": "/v1/articles/TRS-0421/image",
    "url": "https://shop.example/TRS-0421",
    "price": 89.95,
    "in_stock": True,
}
_FOUND = {**_ARTICLE, "score": 0.8123, "rerank_score": None}
_RELEASE = {"release": "7", "collection": "articles-4be0a1/000012-9f2c41d0"}
_TOOK = {"decode": 4.1, "segment": 9.8, "encode": 7.2, "search": 2.9}
_SEEN = {"person_found": True, "person_share": 0.2871, "overlay": None}


def _example(value: Mapping[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [dict(value)]})


class Article(BaseModel):
    """An article of the shop."""

    article_id: str
    name: str
    category: str
    assortments: list[str]
    attributes: dict[str, str]
    image_url: str | None
    url: str | None
    price: float | None
    in_stock: bool | None


class ArticleFound(Article):
    """An article that was found."""

    score: float = Field(description="The cosine similarity: higher is closer.")
    rerank_score: float | None = Field(None, description="The reranker's logit, where it ran: higher is closer.")


class Answer(BaseModel):
    """What every answer says: the release that gave it, by the version of its package and its collection."""

    release: str
    collection: str


class Articles(Answer):
    """Articles, best first. `took_ms` are the milliseconds of each stage."""

    model_config = _example({**_RELEASE, "took_ms": {"search": 2.9}, "results": [_FOUND]})

    took_ms: dict[str, float]
    results: list[ArticleFound]


class PhotoSeen(BaseModel):
    """What was seen in a photo; null where the release does not segment."""

    person_found: bool | None
    person_share: float | None = Field(description="The person's share of the photo's pixels.")
    overlay: str | None = Field(
        None,
        description="Where it was asked for: a PNG as a `data:` URL, to lay over the photo; white where nobody is.",
    )


class SearchAnswer(Articles, PhotoSeen):
    """The articles that are closest to the outfit in a photo."""

    model_config = _example({**_RELEASE, "took_ms": _TOOK, "results": [_FOUND], **_SEEN})


class CategoryFound(BaseModel):
    """The best articles of one category."""

    category: str
    results: list[ArticleFound]


class LookAnswer(Answer, PhotoSeen):
    """The best articles of each category, the category with the closest article first."""

    model_config = _example(
        {
            **_RELEASE,
            "took_ms": _TOOK,
            "categories": [{"category": "trousers", "results": [_FOUND]}],
            **_SEEN,
        }
    )

    took_ms: dict[str, float]
    categories: list[CategoryFound]


class ArticleAnswer(Answer):
    """One article."""

    model_config = _example({**_RELEASE, "article": _ARTICLE})

    article: Article


class ReleaseAnswer(BaseModel):
    """The release that serves. `loaded_s` is Unix time; `categories` counts the articles of each."""

    model_config = _example(
        {
            "version": "7",
            "digest": "4be0a1c2",
            "method": "fashion2shop",
            "collection": _RELEASE["collection"],
            "run_id": "0d6a3c1e",
            "data_version": "9ae1b2",
            "code_version": "51c0de",
            "articles": 48210,
            "categories": {"dress": 20110, "trousers": 28100},
            "segments": True,
            "k_reciprocal_gain": 0.0121,
            "rerankings": ["neural", "k-reciprocal"],
            "precision": "openvino-bfloat16",
            "loaded_s": 1767225600.0,
        }
    )

    version: str
    digest: str
    method: str
    collection: str
    run_id: str
    data_version: str
    code_version: str
    articles: int
    categories: dict[str, int]
    segments: bool
    k_reciprocal_gain: float = Field(
        description="What k-reciprocal re-ranking surely adds to the mAP on validation queries; offered above 0."
    )
    rerankings: list[Reranking]
    precision: str
    loaded_s: float


class Health(BaseModel):
    """Whether the service lives, or is ready; `problem` says what keeps a newer release from serving."""

    model_config = _example({"status": "ready", "problem": None})

    status: str
    problem: str | None = None


def article_of(article_id: str, payload: Mapping[str, Any], prefix: str) -> Article:
    """The body for an article; `prefix` is the path below which a proxy serves the application."""
    address = f"{prefix}/v1/articles/{quote(article_id, safe='')}/image"
    return Article(
        article_id=article_id,
        name=payload.get("name") or "",
        category=payload.get("category") or "",
        assortments=list(payload.get("assortments") or ()),
        attributes=dict(payload.get("attributes") or {}),
        image_url=address if payload.get("image") else None,
        url=payload.get("url"),
        price=payload.get("price"),
        in_stock=payload.get("in_stock"),
    )


def found(hit: Hit, prefix: str, logits: Mapping[str, float] | None = None) -> ArticleFound:
    """The body for a `hit`, with its logit where there is one."""
    article = article_of(hit.article_id, hit.payload, prefix)
    return ArticleFound(**vars(article), score=hit.score, rerank_score=(logits or {}).get(hit.article_id))
