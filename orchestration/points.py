"""What the index should hold: the catalogue's articles with their vectors and payloads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contracts.batches import Article
from contracts.errors import ThreadlineError
from contracts.index import Points
from contracts.model_package import read_package
from orchestration.embedding import ArticleVectors, read_vectors
from orchestration.resources import Workspace
from orchestration.tables import batch_of

VectorsOf = Callable[[str, Sequence[Article]], ArticleVectors]
"""(batch, articles whose images it brought) -> vectors, of these at least."""


def collection_name(digest: str) -> str:
    """The collection of a package."""
    return f"articles-{digest[:16]}"


def gather_points(
    workspace: Workspace, articles: Sequence[Article], digest: str, vectors_of: VectorsOf | None = None
) -> Points:
    """The points of all `articles` that have images, for the package with this digest.

    Each vector comes from the batch that brought the article's images: from `vectors_of`, or as `article_vectors` left
    them. Raises ThreadlineError where they are of another package: the candidate changed after they were made.
    """
    pictured = [article for article in articles if article.images]
    of_batch: dict[str, list[int]] = defaultdict(list)
    for row, article in enumerate(pictured):
        of_batch[batch_of(article.images[0])].append(row)
    vectors = np.empty((len(pictured), read_package(workspace.package(digest)).dimension), np.float32)
    digests = [""] * len(pictured)
    for name, rows in of_batch.items():  # one batch at a time: all of their vectors are there once
        brought = [pictured[row] for row in rows]
        held = vectors_of(name, brought) if vectors_of else read_vectors(workspace.home.vectors(name))
        if held.package != digest:
            message = f"the vectors of {name} are of another package than the candidate"
            raise ThreadlineError(message, "make `article_vectors` again; the automation does")
        place = {key: at for at, key in enumerate(held.article_ids)}
        found = [place[article.article_id] for article in brought]
        vectors[rows] = held.vectors[found]
        for row, at in zip(rows, found, strict=True):
            digests[row] = held.digests[at]
    return Points(
        article_ids=tuple(article.article_id for article in pictured),
        vectors=vectors,
        vector_digests=tuple(digests),
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
