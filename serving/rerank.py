"""Ranking the closest articles again: by the package's reranker, or by how they relate to one another."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.images import Picture, Size, UnreadableImage, read
from contracts.index import Collection, Hit
from contracts.registry import Release
from serving.image_files import article_images
from serving.inference import BATCH, PackageSession, pool
from serving.ordering import K_RECIPROCAL_DEPTH, Reranking, k_reciprocal
from serving.stages import Stages

Features = NDArray[np.float32]

DEPTH: dict[Reranking, int] = {"none": 0, "neural": 50, "k-reciprocal": K_RECIPROCAL_DEPTH}
"""How many of the closest articles are ranked again, however many are asked for: as it is measured."""


@dataclass(frozen=True)
class Found:
    """Articles, best first, and the reranker's `logits` by article where it ran."""

    hits: list[Hit]
    logits: dict[str, float] = field(default_factory=dict)


class Reranker:
    """Ranks what a release found again, in the ways that help it."""

    def __init__(
        self, release: Release, session: PackageSession, collection: Collection, features: ArticleFeatures
    ) -> None:
        self.ways: list[Reranking] = []
        if "reranker" in session.package.files:
            self.ways.append("neural")
        if release.k_reciprocal_gain > 0:
            self.ways.append("k-reciprocal")
        self._session = session
        self._collection = collection
        self._features = features

    def rank(self, vector: Features, hits: list[Hit], way: Reranking, stages: Stages) -> Found:
        """`hits` in their new order for a photo's `vector` (D,): the first `DEPTH[way]` ranked again, then the others.

        Those of the first of which nothing is known come last among them, in their old order. Raises DeadlinePassed
        when reading the articles' images takes longer than the request may.
        """
        if way == "none":
            return Found(hits)
        first, others = hits[: DEPTH[way]], hits[DEPTH[way] :]
        if way == "neural":
            logits = self._logits(vector, first, stages)
            return Found(sorted(first, key=lambda hit: -logits.get(hit.article_id, -np.inf)) + others, logits)
        known, vectors = with_vectors(self._collection, first)
        order = k_reciprocal(vector, vectors) if known else []
        ids = {hit.article_id for hit in known}
        return Found([known[row] for row in order] + [hit for hit in first if hit.article_id not in ids] + others)

    def _logits(self, vector: Features, hits: Sequence[Hit], stages: Stages) -> dict[str, float]:
        """The reranker's logits by article; without those whose images are missing."""
        features = self._features.of(hits, stages)
        if not features:
            return {}
        logits = self._session.rerank(vector, np.stack(list(features.values())))
        return {article_id: float(logit) for article_id, logit in zip(features, logits, strict=True)}


def with_vectors(collection: Collection, hits: Sequence[Hit]) -> tuple[list[Hit], NDArray[np.float32]]:
    """Those of `hits` that are still in the collection, in their order, and their (N, D) unit vectors."""
    vectors = collection.vectors([hit.article_id for hit in hits])
    known = [hit for hit in hits if hit.article_id in vectors]
    return known, np.stack([vectors[hit.article_id] for hit in known]) if known else np.zeros((0, 0), np.float32)


class ArticleFeatures:
    """What the reranker sees of articles: pooled over all of their images, as at training.

    Features (F,) are kept by image file, at most `capacity` of them, the least used forgotten first.
    """

    def __init__(self, session: PackageSession, data: Path, capacity: int = 10_000) -> None:
        self._session = session
        self._data = data
        self._capacity = capacity
        self._kept: OrderedDict[Path, Features] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, hits: Sequence[Hit], stages: Stages) -> dict[str, Features]:
        """The pooled features of those of `hits` of which any image can be read, by article.

        Raises DeadlinePassed between two batches of images; what was computed until then is kept.
        """
        paths = {hit.article_id: article_images(self._data, hit.payload) for hit in hits}
        wanted = {path for images in paths.values() for path in images}
        found = self._recall(wanted)
        missing = sorted(wanted - found.keys())
        for start in range(0, len(missing), BATCH):
            stages.check()
            found.update(self._compute(missing[start : start + BATCH]))
        read = {article_id: [found[path] for path in images if path in found] for article_id, images in paths.items()}
        pooling = self._session.package.pooling
        return {article_id: pool(np.stack(features), pooling) for article_id, features in read.items() if features}

    def _recall(self, paths: set[Path]) -> dict[Path, Features]:
        with self._lock:
            found = {path: self._kept[path] for path in sorted(paths) if path in self._kept}
            for path in found:
                self._kept.move_to_end(path)
        return found

    def _compute(self, paths: Sequence[Path]) -> dict[Path, Features]:
        size = self._session.package.sizes.article
        assert size is not None  # a package with a reranker has an article encoder
        pictures = {path: picture for path in paths if (picture := _read(path, size)) is not None}
        if not pictures:
            return {}
        features = self._session.article_features(list(pictures.values()))
        computed = dict(zip(pictures, features, strict=True))
        with self._lock:
            self._kept.update(computed)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return computed


def _read(path: Path, size: Size) -> Picture | None:
    try:
        return read(path, at_least=size)
    except UnreadableImage:
        return None
