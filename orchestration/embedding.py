"""Vectors of articles and photos through a package, computed only where they are not kept yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.batches import Article
from contracts.files import Place, digest_of, read_table, write_table
from orchestration.features import FeatureStore, compute_missing, matrix
from orchestration.home import Home
from orchestration.progress import Reporter
from serving.inference import PackageSession, pool

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ArticleVectors:
    """One unit vector an article: `vectors` is (N, D) float32; `digests` say what each was computed from."""

    article_ids: tuple[str, ...]
    vectors: Vectors
    digests: tuple[str, ...]


def photo_features(session: PackageSession, home: Home, images: dict[str, Path], report: Reporter) -> FeatureStore:
    """The photo vectors of `images` (digest -> file), segmentation included where the package segments."""
    package = session.package
    store = FeatureStore(home.features(digest_of(["photo", package.digest]), session.precision))
    size = None if package.segments else package.sizes.photo
    compute_missing(
        store, images, session.photo_vectors, size, lambda done, total: report(f"{package.method}: photos", done, total)
    )
    return store


def article_features(
    session: PackageSession, home: Home, images: dict[str, Path], report: Reporter
) -> tuple[FeatureStore, int]:
    """The features of single article `images` (digest -> file), and how many had to be computed."""
    package = session.package
    store = FeatureStore(home.features(package.article_digest(), session.precision))
    computed = compute_missing(
        store,
        images,
        session.article_features,
        package.sizes.article,
        lambda done, total: report(f"{package.method}: articles", done, total),
    )
    return store, computed


def article_vectors(
    session: PackageSession, store: FeatureStore, image_digests: Iterable[Sequence[str]]
) -> tuple[Vectors, Vectors]:
    """The (N, D) unit vectors and (N, F) pooled features of articles given as the digests of their images."""
    pooled = np.stack([pool(store.get(digests), session.package.pooling) for digests in image_digests])
    return session.article_vectors(pooled), pooled


def embed_articles(
    session: PackageSession, home: Home, articles: Sequence[Article], data: Path, report: Reporter
) -> tuple[ArticleVectors, int]:
    """The vectors of the `articles` (paths relative to `data`) that have images; and how many images were computed."""
    pictured = [article for article in articles if article.images]
    images = {
        sha256: data / image
        for article in pictured
        for sha256, image in zip(article.sha256, article.images, strict=True)
    }
    store, computed = article_features(session, home, images, report)
    ids = tuple(article.article_id for article in pictured)
    digests = tuple(vector_digest(session, article.sha256) for article in pictured)
    if not pictured:
        return ArticleVectors((), np.zeros((0, session.package.dimension), np.float32), ()), computed
    vectors, _ = article_vectors(session, store, [article.sha256 for article in pictured])
    return ArticleVectors(ids, vectors, digests), computed


def vector_digest(session: PackageSession, image_digests: Sequence[str]) -> str:
    """What an article's vector is computed from: its images, the package and the precision; never floats."""
    return digest_of([list(image_digests), session.package.digest, session.precision])[:32]


def write_vectors(path: Place, vectors: ArticleVectors) -> None:
    """Write article vectors as Parquet in one step."""
    flat = pa.array(np.ascontiguousarray(vectors.vectors).reshape(-1))
    columns = {
        "article_id": pa.array(list(vectors.article_ids), pa.string()),
        "digest": pa.array(list(vectors.digests), pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.vectors.shape[1]),
    }
    write_table(path, pa.table(columns))


def read_vectors(path: Place) -> ArticleVectors:
    """Read what `write_vectors` wrote."""
    table = read_table(path)
    ids, digests = (tuple(str(key) for key in table[name].to_pylist()) for name in ("article_id", "digest"))
    return ArticleVectors(ids, matrix(table, "vector"), digests)
