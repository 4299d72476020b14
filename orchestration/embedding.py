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
from orchestration.code_versions import code_version
from orchestration.features import FeatureStore, compute_missing, matrix
from orchestration.home import Home
from orchestration.progress import Reporter
from serving.inference import PackageSession, pool

Vectors = NDArray[np.float32]

EMBEDDING = (
    *("contracts.images", "contracts.masks", "orchestration.embedding", "orchestration.features"),
    *("serving.inference", "serving.person_masks", "serving.precision", "serving.runtimes", "serving.openvino_float32"),
    "serving.reference_pictures",
)
"""The code that turns pictures into vectors. What other code computed is computed again."""

_PACKAGE = "package"


@dataclass(frozen=True)
class ArticleVectors:
    """One unit vector an article: `vectors` is (N, D) float32; `digests` say what each was computed from.

    `package` is the digest of the package that computed them all.
    """

    article_ids: tuple[str, ...]
    vectors: Vectors
    digests: tuple[str, ...]
    package: str


def photo_features(session: PackageSession, home: Home, images: dict[str, Path], report: Reporter) -> FeatureStore:
    """The photo vectors of `images` (digest -> file), segmentation included where the package segments."""
    package = session.package
    store = FeatureStore(home.features(digest_of(["photo", package.digest]), computed_by(session)))
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
    store = article_store(session, home)
    computed = compute_missing(
        store,
        images,
        session.article_features,
        package.sizes.article,
        lambda done, total: report(f"{package.method}: articles", done, total),
    )
    return store, computed


def article_store(session: PackageSession, home: Home) -> FeatureStore:
    """Where the features of single article images are kept."""
    return FeatureStore(home.features(session.package.article_digest(), computed_by(session)))


def computed_by(session: PackageSession) -> str:
    """What shapes a feature beside the package and the picture: the precision and the code."""
    return f"{session.precision}-{code_version(EMBEDDING)[:8]}"


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
    by = computed_by(session)
    digests = tuple(vector_digest(article.sha256, session.package.digest, by) for article in pictured)
    if not pictured:
        nothing = np.zeros((0, session.package.dimension), np.float32)
        return ArticleVectors((), nothing, (), session.package.digest), computed
    vectors, _ = article_vectors(session, store, [article.sha256 for article in pictured])
    return ArticleVectors(ids, vectors, digests, session.package.digest), computed


def vector_digest(image_digests: Sequence[str], package: str, by: str) -> str:
    """What an article's vector is computed from: its images and the package, and by what; never floats."""
    return digest_of([list(image_digests), package, by])[:32]


def write_vectors(path: Place, vectors: ArticleVectors) -> None:
    """Write article vectors as Parquet in one step."""
    flat = pa.array(np.ascontiguousarray(vectors.vectors).reshape(-1))
    columns = {
        "article_id": pa.array(list(vectors.article_ids), pa.string()),
        "digest": pa.array(list(vectors.digests), pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.vectors.shape[1]),
    }
    write_table(path, pa.table(columns).replace_schema_metadata({_PACKAGE: vectors.package}))


def read_vectors(path: Place) -> ArticleVectors:
    """Read what `write_vectors` wrote."""
    table = read_table(path)
    ids, digests = (tuple(str(key) for key in table[name].to_pylist()) for name in ("article_id", "digest"))
    package = (table.schema.metadata or {}).get(_PACKAGE.encode(), b"").decode()
    return ArticleVectors(ids, matrix(table, "vector"), digests, package)
