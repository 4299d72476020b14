"""The features of candidate articles for the reranker: pooled over all of their images, as at training, and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.images import Picture, Size, UnreadableImage, read
from contracts.index import Hit
from serving.inference import PackageSession, pool
from serving.photos import article_images

Features = NDArray[np.float32]


class ArticleFeatures:
    """Features (F,) by image file, at most `capacity` of them kept, the least used forgotten first."""

    def __init__(self, session: PackageSession, data: Path, capacity: int = 10_000) -> None:
        self._session = session
        self._data = data
        self._capacity = capacity
        self._kept: OrderedDict[Path, Features] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, hits: Sequence[Hit]) -> dict[str, Features]:
        """The pooled features of those of `hits` of which any image can be read, by article."""
        paths = {hit.article_id: article_images(self._data, hit.payload) for hit in hits}
        wanted = {path for images in paths.values() for path in images}
        found = self._recall(wanted)
        found.update(self._compute(sorted(wanted - found.keys())))
        read = {article_id: [found[path] for path in images if path in found] for article_id, images in paths.items()}
        pooling = self._session.package.pooling
        return {article_id: pool(np.stack(features), pooling) for article_id, features in read.items() if features}

    def _recall(self, paths: set[Path]) -> dict[Path, Features]:
        with self._lock:
            found = {path: self._kept[path] for path in paths if path in self._kept}
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
