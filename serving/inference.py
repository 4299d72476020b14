"""Running a model package: pictures in; masks, features and vectors out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ThreadlineError
from contracts.images import Picture, Size, fit
from contracts.masks import Mask, segmented
from contracts.model_package import Graph, read_package
from serving.person_masks import closer, mask_of, placed
from serving.precision import load_graphs, picture_size
from serving.runtimes import Runner

BATCH = 16
"""Pictures per call of a network: larger is no faster on a CPU and takes more memory."""


class PackageSession:
    """A model package, loaded and ready. Its methods may be called from several threads at once.

    `precision` names the runtime and number format, e.g. "openvino-bfloat16"; vectors made with different ones are
    not mixed. Raises ThreadlineError when the package is incomplete or altered, or the `runtime` cannot be used.
    """

    def __init__(self, root: Path, *, threads: int | None = None, runtime: str | None = None) -> None:
        self.package = read_package(root, verify=True)
        self._root = root
        name, self._runners = load_graphs(root, self.package, threads, runtime)
        self.precision: str = name

    def prepare_for_many(self) -> None:
        """Make what the graphs that were used need to compute fast in several threads at once; takes seconds."""
        self._runners.prepare_for_many()

    def segment(self, pictures: Sequence[Picture], batch: int = BATCH) -> list[Mask]:
        """The person mask of each picture, (H, W) bool at the picture's own resolution.

        At somebody who is far away it looks a second time, closer. Raises ThreadlineError when the package has no
        segmenter.
        """
        size = picture_size(self.package, "segmenter")
        masks: list[Mask] = []
        for chunk in _chunks(pictures, batch):
            found = self._masks(chunk, size)
            boxes = {place: box for place, mask in enumerate(found) if (box := closer(mask, size))}
            parts = [chunk[place][top:bottom, left:right] for place, (top, left, bottom, right) in boxes.items()]
            for (place, box), mask in zip(boxes.items(), self._masks(parts, size), strict=True):
                found[place] = placed(mask, box, found[place].shape)
            masks += found
        return masks

    def _masks(self, pictures: Sequence[Picture], size: Size) -> list[Mask]:
        """The masks of `pictures` by one look at each of them, fitted to `size`."""
        run = self._runner("segmenter")
        if not pictures:
            return []
        probabilities = run(_fitted(pictures, size))
        return [mask_of(each, picture.shape[:2]) for each, picture in zip(probabilities, pictures, strict=True)]

    def photo_size(self) -> Size:
        """The (height, width) that a photo should have at least: what the network takes.

        Twice that where the person is cut out first, who often fills no more than half of the photo.
        """
        sizes = self.package.sizes
        assert sizes.photo is not None  # a matching package has a photo encoder
        if not self.package.segments or sizes.segmenter is None:
            return sizes.photo
        return 2 * max(sizes.photo[0], sizes.segmenter[0]), 2 * max(sizes.photo[1], sizes.segmenter[1])

    def photo_vectors(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """(N, D) float32 unit vectors of photos, segmented first where the package has a segmenter."""
        if not self.package.segments:
            return self.encode_photos(pictures)
        encoded = []
        for chunk in _chunks(pictures, BATCH):
            people = [segmented(picture, mask) for picture, mask in zip(chunk, self.segment(chunk), strict=True)]
            encoded.append(self.encode_photos(people))
        return np.concatenate(encoded) if encoded else self.encode_photos([])

    def encode_photos(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """(N, D) float32 unit vectors of photos that are segmented already, or need not be."""
        return unit(self._encode("photo_encoder", pictures))

    def article_features(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """(N, F) float32 features of single article images; `pool` joins those of one article."""
        return self._encode("article_encoder", pictures)

    def article_vectors(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) float32 unit vectors from the (N, F) pooled features of articles."""
        if "article_head" not in self.package.files:
            return unit(pooled)
        if len(pooled) == 0:
            return np.zeros((0, self.package.dimension), dtype=np.float32)
        return unit(self._runner("article_head")(pooled))

    def rerank(self, photo: NDArray[np.float32], pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """(K,) float32 logits, higher is a better match, of a (D,) photo vector with (K, F) pooled features.

        Raises ThreadlineError when the package has no reranker.
        """
        run = self._runner("reranker")
        if len(pooled) == 0:
            return np.zeros(0, dtype=np.float32)
        photos = np.repeat(photo[None], len(pooled), axis=0)
        return run(photos, pooled).reshape(len(pooled))

    def _encode(self, graph: Graph, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        run = self._runner(graph)
        size = picture_size(self.package, graph)
        if not pictures:  # the width of the output is the graph's to say
            return run(np.zeros((1, *size, 3), dtype=np.uint8))[:0]
        return np.concatenate([run(_fitted(chunk, size)) for chunk in _chunks(pictures, BATCH)])

    def _runner(self, graph: Graph) -> Runner:
        if graph not in self._runners:
            raise ThreadlineError(
                f"the package {self._root} ({self.package.method}) has no {graph}", "use a package that has one"
            )
        return self._runners[graph]


def pool(features: NDArray[np.float32], pooling: Literal["mean", "max"]) -> NDArray[np.float32]:
    """The (F,) pooled features of an article from the (I, F) features of its images. Raises ValueError without any."""
    if len(features) == 0:
        raise ValueError("an article without images has no features")
    pooled = features.mean(axis=0) if pooling == "mean" else features.max(axis=0)
    return np.asarray(pooled, dtype=np.float32)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors` (N, D) scaled to unit length; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


def _fitted(pictures: Sequence[Picture], size: Size) -> NDArray[np.uint8]:
    return np.stack([fit(picture, size) for picture in pictures])


def _chunks(pictures: Sequence[Picture], batch: int) -> Iterator[list[Picture]]:
    remaining = iter(pictures)
    while chunk := list(islice(remaining, batch)):
        yield chunk
