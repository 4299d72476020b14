"""A searcher: one model package and the collection that was made with it. It answers until it is closed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.images import WHITE, Picture, Size
from contracts.index import ArticleFilter, Collection, Hit
from contracts.masks import Mask, segmented
from contracts.registry import Release
from serving.inference import PackageSession
from serving.rerank import ArticleFeatures

_LOOK_DEPTH = 200
_RERANK_DEPTH = 50


@dataclass(frozen=True)
class Query:
    """What is asked for beside the photo: `k` articles, which ones, and whether the best are ranked again."""

    k: int = 10
    where: ArticleFilter = field(default_factory=ArticleFilter)
    rerank: bool = False


@dataclass(frozen=True)
class Found:
    """What was found in a photo, closest first.

    `mask` is the person, None where the package does not segment; `seen` is the picture that was encoded;
    `took_ms` are the milliseconds of each stage; `logits` the reranker's, by article, where it ran.
    """

    hits: list[Hit]
    mask: Mask | None
    seen: Picture
    took_ms: dict[str, float]
    logits: dict[str, float] = field(default_factory=dict)


class Searcher:
    """Searches with one release. Safe to call from several threads."""

    def __init__(
        self, release: Release, session: PackageSession, collection: Collection, features: ArticleFeatures
    ) -> None:
        self.release = release
        self.session = session
        self.collection = collection
        self.loaded_s = time.time()
        self._features = features

    @property
    def reranks(self) -> bool:
        """Whether the package can rank the best candidates again."""
        return "reranker" in self.session.package.files

    def photo_size(self) -> Size:
        """The (height, width) that a photo should have at least: what the network takes.

        Twice that where the person is cut out first, who often fills no more than half of the photo.
        """
        sizes = self.session.package.sizes
        assert sizes.photo is not None  # a matching package has a photo encoder
        if not self.session.package.segments or sizes.segmenter is None:
            return sizes.photo
        return 2 * max(sizes.photo[0], sizes.segmenter[0]), 2 * max(sizes.photo[1], sizes.segmenter[1])

    def search(self, picture: Picture, query: Query) -> Found:
        """The articles closest to the outfit in `picture` (H, W, 3)."""
        took_ms: dict[str, float] = {}
        mask, seen, vector = self._encode(picture, took_ms)
        with _timed(took_ms, "search"):
            depth = max(query.k, _RERANK_DEPTH) if query.rerank else query.k
            hits = self.collection.search(vector[None], depth, query.where)[0]
        if not query.rerank:
            return Found(hits, mask, seen, took_ms)
        with _timed(took_ms, "rerank"):
            logits = self._logits(vector, hits)
        # Sorting is stable: articles whose image is missing follow the others in their old order.
        hits = sorted(hits, key=lambda hit: -logits.get(hit.article_id, -np.inf))
        return Found(hits[: query.k], mask, seen, took_ms, logits)

    def look(self, picture: Picture, k: int, assortment: str | None = None) -> tuple[Found, dict[str, list[Hit]]]:
        """The `k` best articles of each category among the articles closest to the outfit, best category first."""
        found = self.search(picture, Query(_LOOK_DEPTH, ArticleFilter(assortment=assortment)))
        categories: dict[str, list[Hit]] = {}
        for hit in found.hits:
            members = categories.setdefault(str(hit.payload.get("category", "")), [])
            if len(members) < k:
                members.append(hit)
        return found, categories

    def similar(self, article_id: str, k: int, where: ArticleFilter) -> list[Hit] | None:
        """The `k` articles closest to an article, without itself; None when it is not in the collection."""
        vector = self.collection.vectors([article_id]).get(article_id)
        if vector is None:
            return None
        hits = self.collection.search(vector[None], k + 1, where)[0]
        return [hit for hit in hits if hit.article_id != article_id][:k]

    def warm(self) -> None:
        """Answer once, so that the first request does not wait; raises what a request would."""
        height, width = self.photo_size()
        blank = np.full((height, width, 3), WHITE, dtype=np.uint8)
        self.search(blank, Query(1))

    def close(self) -> None:
        """Give the collection back."""
        self.collection.close()

    def _encode(self, picture: Picture, took_ms: dict[str, float]) -> tuple[Mask | None, Picture, NDArray[np.float32]]:
        mask, seen = None, picture
        if self.session.package.segments:
            with _timed(took_ms, "segment"):
                mask = self.session.segment([picture])[0]
                seen = segmented(picture, mask)
        with _timed(took_ms, "encode"):
            return mask, seen, self.session.encode_photos([seen])[0]

    def _logits(self, vector: NDArray[np.float32], hits: Sequence[Hit]) -> dict[str, float]:
        """The reranker's logits by article; without those whose image is missing."""
        features = self._features.of(hits)
        if not features:
            return {}
        logits = self.session.rerank(vector, np.stack(list(features.values())))
        return {article_id: float(logit) for article_id, logit in zip(features, logits, strict=True)}


@contextmanager
def _timed(took_ms: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    took_ms[stage] = round((time.perf_counter() - start) * 1000, 2)
