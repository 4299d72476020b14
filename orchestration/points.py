"""What the index should hold: the catalogue's articles with their vectors and payloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.batches import Article
from contracts.index import Points
from contracts.model_package import read_package
from orchestration.embedding import ArticleVectors, read_vectors
from orchestration.home import Home
from orchestration.tables import batch_of


def collection_name(digest: str) -> str:
    """The collection of a package."""
    return f"articles-{digest[:16]}"


def gather_points(home: Home, articles: Sequence[Article], digest: str) -> Points:
    """The points of all `articles` that have images, for the package with this digest.

    Each vector comes from the batch that brought the article's images.
    """
    pictured = [article for article in articles if article.images]
    batches: dict[str, ArticleVectors] = {}
    rows: dict[tuple[str, str], int] = {}
    for name in {batch_of(article.images[0]) for article in pictured}:
        batches[name] = read_vectors(home.vectors(name))
        rows.update({(name, key): row for row, key in enumerate(batches[name].article_ids)})
    places = [(batch_of(article.images[0]), article.article_id) for article in pictured]
    vectors = [batches[batch].vectors[rows[batch, key]] for batch, key in places]
    none = np.zeros((0, read_package(home.package(digest)).dimension), np.float32)
    return Points(
        article_ids=tuple(article.article_id for article in pictured),
        vectors=np.stack(vectors) if vectors else none,
        vector_digests=tuple(batches[batch].digests[rows[batch, key]] for batch, key in places),
        payloads=tuple(payload(article) for article in pictured),
    )


def payload(article: Article) -> dict[str, Any]:
    """What is kept with an article's vector; unknown values are left out."""
    known = {"url": article.url, "price": article.price, "in_stock": article.in_stock}
    return {
        "article_id": article.article_id,
        "name": article.name,
        "category": article.category,
        "attributes": dict(sorted(article.attributes.items())),
        "assortments": list(article.assortments),
        "image": article.images[0],
        "images": list(article.images),
        **{key: value for key, value in known.items() if value is not None},
    }
