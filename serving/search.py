"""A searcher: one model package and the collection that was made with it. It answers until it is closed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from contracts.images import WHITE, Picture
from contracts.index import ArticleFilter, Collection, Hit
from contracts.masks import Mask, segmented
from contracts.registry import Release
from serving.inference import PackageSession
from serving.ordering import Reranking, diverse
from serving.rerank import DEPTH, ArticleFeatures, Found, Reranker, with_vectors
from serving.stages import Stages

_DIVERSE_DEPTH = 4
"""From how many times `k` articles the diverse ones are chosen."""

_NEAR = 500
"""Among how many of the closest articles a look finds the categories that are near."""

_CATEGORIES_FOR_S = 30.0


@dataclass(frozen=True)
class Query:
    """What is asked for beside the photo: `k` articles, which ones, how ranked, and how different from one another.

    `diversity` in [0, 1): 0 is the plain order, more makes the articles differ more.
    """

    k: int = 10
    where: ArticleFilter = field(default_factory=ArticleFilter)
    rerank: Reranking = "none"
    diversity: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A photo as it was searched with: its unit `vector` (D,), and the person's mask, None where not segmented."""

    vector: NDArray[np.float32]
    mask: Mask | None


class Searcher:
    """Searches with one release. Safe to call from several threads."""

    def __init__(
        self, release: Release, session: PackageSession, collection: Collection, features: ArticleFeatures
    ) -> None:
        self.release = release
        self.session = session
        self.collection = collection
        self.loaded_s = time.time()
        self._reranker = Reranker(release, session, collection, features)
        self._categories: tuple[float, dict[str, int]] | None = None

    @property
    def rerankings(self) -> list[Reranking]:
        """How the best candidates can be ranked again, beside not at all."""
        return self._reranker.ways

    def see(self, picture: Picture, stages: Stages) -> Seen:
        """Segment and encode a photo (H, W, 3)."""
        mask, person = None, picture
        if self.session.package.segments:
            with stages.stage("segment"):
                mask = self.session.segment([picture])[0]
                person = segmented(picture, mask)
        with stages.stage("encode"):
            return Seen(self.session.encode_photos([person])[0], mask)

    def search(self, seen: Seen, query: Query, stages: Stages) -> Found:
        """The articles closest to the outfit in a photo."""
        depth = max(query.k, DEPTH[query.rerank], _DIVERSE_DEPTH * query.k if query.diversity else 0)
        with stages.stage("search"):
            found = Found(self.collection.search(seen.vector[None], depth, query.where)[0])
        if query.rerank != "none":
            with stages.stage("rerank"):
                found = self._reranker.rank(seen.vector, found.hits, query.rerank, stages)
        if query.diversity:
            with stages.stage("diversify"):
                found = replace(found, hits=self._diverse(found, query))
        return replace(found, hits=found.hits[: query.k])

    def look(self, seen: Seen, k: int, where: ArticleFilter, most: int, stages: Stages) -> dict[str, list[Hit]]:
        """The `k` best articles of each category, of the `most` categories whose best article is closest.

        The closest articles of all show which these are, and often enough of each; only what they do not show is
        searched for, category by category.
        """
        with stages.stage("search"):
            depth = max(k, _NEAR) if where.category is None else k
            near = self.collection.search(seen.vector[None], depth, where)[0]
            found: dict[str, list[Hit]] = {}
            for hit in near:
                found.setdefault(hit.payload["category"], []).append(hit)
            if where.category is None and len(near) == depth:  # there are more than these
                hidden = [each for each in self.categories() if each not in found] if len(found) < most else []
                for category in [*found][:most] + hidden:
                    stages.check()
                    if len(found.get(category, [])) < k:
                        narrowed = replace(where, category=category)
                        found[category] = self.collection.search(seen.vector[None], k, narrowed)[0]
        best_first = sorted((each for each in found.items() if each[1]), key=lambda each: -each[1][0].score)
        return {category: hits[:k] for category, hits in best_first[:most]}

    def similar(self, article_id: str, k: int, where: ArticleFilter) -> list[Hit] | None:
        """The `k` articles closest to an article, without itself; None when it is not in the collection."""
        vector = self.collection.vectors([article_id]).get(article_id)
        if vector is None:
            return None
        hits = self.collection.search(vector[None], k + 1, where)[0]
        return [hit for hit in hits if hit.article_id != article_id][:k]

    def categories(self) -> dict[str, int]:
        """How many articles each category has, the largest first; as of the last half minute."""
        now, kept = time.monotonic(), self._categories
        if kept is None or now - kept[0] > _CATEGORIES_FOR_S:
            kept = self._categories = now, self.collection.categories()
        return kept[1]

    def warm(self) -> None:
        """Answer once, so that the first request does not wait; raises what a request would."""
        height, width = self.session.photo_size()
        blank = np.full((height, width, 3), WHITE, dtype=np.uint8)
        stages = Stages()
        self.search(self.see(blank, stages), Query(1), stages)
        self.categories()

    def prepare(self) -> None:
        """Make what the first answer did not need, so that no request waits for it; takes seconds beside requests."""
        if "neural" in self.rerankings:
            features = self.session.article_features([np.full((1, 1, 3), WHITE, dtype=np.uint8)])
            self.session.rerank(np.zeros(self.session.package.dimension, dtype=np.float32), features)
        self.session.prepare_for_many()

    def close(self) -> None:
        """Give the collection back."""
        self.collection.close()

    def _diverse(self, found: Found, query: Query) -> list[Hit]:
        known, vectors = with_vectors(self.collection, found.hits)
        if not known:
            return found.hits
        # An order by something else than the cosine counts as its cosines would, had they come in that order.
        relevance = np.sort(np.array([hit.score for hit in known], dtype=np.float32))[::-1]
        return [known[row] for row in diverse(relevance, vectors, query.k, query.diversity)]
