"""What the index should hold: the catalogue's articles with their vectors and payloads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.batches import Article
from contracts.errors import ThreadlineError
from contracts.index import Points
from contracts.model_package import read_package
from orchestration.embedding import read_vectors
from orchestration.resources import Workspace
from orchestration.tables import batch_of


def collection_name(digest: str) -> str:
    """The collection of a package."""
    return f"articles-{digest[:16]}"


def gather_points(workspace: Workspace, articles: Sequence[Article], digest: str) -> Points:
    """The points of all `articles` that have images, for the package with this digest.

    Each vector comes from the batch that brought the article's images. Raises ThreadlineError where a batch's vectors
    are of another package: the candidate changed after they were made.
    """
    pictured = [article for article in articles if article.images]
    of_batch: dict[str, list[int]] = defaultdict(list)
    for row, article in enumerate(pictured):
        of_batch[batch_of(article.images[0])].append(row)
    vectors = np.empty((len(pictured), read_package(workspace.package(digest)).dimension), np.float32)
    digests = [""] * len(pictured)
    for name, rows in of_batch.items():  # one batch at a time: all of their vectors are there once
        held = read_vectors(workspace.home.vectors(name))
        if held.package != digest:
            message = f"the vectors of {name} are of another package than the candidate"
            raise ThreadlineError(message, "make `article_vectors` again; the automation does")
        place = {key: at for at, key in enumerate(held.article_ids)}
        found = [place[pictured[row].article_id] for row in rows]
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
