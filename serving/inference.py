"""Running a model package: pictures in; masks, features and vectors out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import ThreadlineError
from contracts.images import Picture, Size, fit, fitted_box
from contracts.masks import Mask, segmented
from contracts.model_package import Graph, read_package
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

        Raises ThreadlineError when the package has no segmenter.
        """
        size, run = picture_size(self.package, "segmenter"), self._runner("segmenter")
        masks: list[Mask] = []
        for chunk in _chunks(pictures, batch):
            probabilities = run(_fitted(chunk, size))
            masks += [mask_of(each, picture.shape[:2]) for each, picture in zip(probabilities, chunk, strict=True)]
        return masks

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


def mask_of(probability: NDArray[np.float32], shape: Size) -> Mask:
    """The mask of a photo of `shape` (height, width) from the person probability of its fitted picture.

    `probability` is (h, w) in [0, 1]. What `fit` added around the photo is cut off, the rest scaled bilinearly to
    the photo's own resolution and cut at one half. In 8 bits, which is several times faster than in floats and moves
    the threshold by less than 0.002.
    """
    top, left, height, width = fitted_box(shape, probability.shape)
    inside = probability[top : top + height, left : left + width]
    grey = Image.fromarray(np.rint(np.clip(inside, 0.0, 1.0) * 255).astype(np.uint8))
    return np.asarray(grey.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)) >= 128


def _fitted(pictures: Sequence[Picture], size: Size) -> NDArray[np.uint8]:
    return np.stack([fit(picture, size) for picture in pictures])


def _chunks(pictures: Sequence[Picture], batch: int) -> Iterator[list[Picture]]:
    remaining = iter(pictures)
    while chunk := list(islice(remaining, batch)):
        yield chunk
