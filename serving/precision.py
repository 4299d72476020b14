"""The automatic choice of a runtime: the fastest of the machine that proves equal to float32."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import ThreadlineError
from contracts.images import Picture, Size
from contracts.model_package import Graph, ModelPackage, graph_path
from serving.runtimes import AUTOMATIC, EXACT, RUNTIMES, Engine, Runner, Runtime, engine

_log = logging.getLogger(__name__)

AGREEMENT = 0.995
"""What less than float32 must reach: cosine of each vector, and share of equal mask pixels, against float32."""

Runners = dict[Graph, Runner]


def load_graphs(root: Path, package: ModelPackage, threads: int | None, runtime: str | None) -> tuple[Runtime, Runners]:
    """Every graph of the package in `root`, ready to run, and the runtime that runs them.

    With `runtime` given, that one, with a warning where it does not agree with float32 on reference pictures;
    otherwise the first of `AUTOMATIC` that works and agrees. Raises ThreadlineError for an unknown or unusable one.
    """
    if runtime is not None:
        chosen = engine(_known(runtime), threads)
        runners = _load(chosen, root, package)
        if not _agrees(chosen, runners, root, package):
            _log.warning("%s: %s differs too much from float32 on this model, and is used as asked for", root, runtime)
        return chosen.name, runners
    for name in AUTOMATIC[:-1]:
        try:
            candidate = engine(name, threads)
            runners = _load(candidate, root, package)
            if _agrees(candidate, runners, root, package):
                return name, runners
            _log.info("%s: %s differs too much from float32 on this model", root, name)
        except Exception as error:  # each runtime has its own; whatever it is, the next one is tried
            _log.info("%s: %s cannot be used (%s)", root, name, str(error).partition("\n")[0])
    return AUTOMATIC[-1], _load(engine(AUTOMATIC[-1], threads), root, package)


def takes_pictures(graph: Graph) -> bool:
    """Whether the graph takes pictures. Those that take vectors are small, and run in float32 always."""
    return graph in ("segmenter", "photo_encoder", "article_encoder")


def picture_size(package: ModelPackage, graph: Graph) -> Size:
    """The (height, width) of the pictures that `graph` takes. Raises ThreadlineError when it is not stated."""
    sizes = {"segmenter": package.sizes.segmenter, "photo_encoder": package.sizes.photo}
    size = sizes.get(graph, package.sizes.article)
    if size is None:
        raise ThreadlineError(f"the package does not state the picture size of its {graph}", "export it again")
    return size


def reference_pictures(size: Size, count: int = 4) -> NDArray[np.uint8]:
    """(count, H, W, 3) uint8 pictures of soft blobs with some grain: the same ones every time."""
    random = np.random.default_rng(count)
    return np.stack([_reference(random, size) for _ in range(count)])


def agreement(graph: Graph, one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far two outputs of `graph` agree, in [-1, 1]: share of equal mask pixels, or the lowest cosine of vectors."""
    if graph == "segmenter":
        return float(np.mean((one >= 0.5) == (other >= 0.5)))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = np.sum(one * other, axis=1) / np.maximum(norms, 1e-12)
    return float(np.min(np.where(np.isfinite(cosines), cosines, -1.0)))


def _known(runtime: str) -> Runtime:
    for name in RUNTIMES:
        if name == runtime:
            return name
    raise ThreadlineError(f"'{runtime}' is no runtime", f"choose one of {', '.join(RUNTIMES)}")


def _load(chosen: Engine, root: Path, package: ModelPackage) -> Runners:
    return {graph: chosen.load(graph_path(root, graph), exact=not takes_pictures(graph)) for graph in package.files}


def _agrees(candidate: Engine, runners: Runners, root: Path, package: ModelPackage) -> bool:
    if candidate.name in EXACT:
        return True
    for graph in filter(takes_pictures, package.files):
        pictures = reference_pictures(picture_size(package, graph))
        exact = candidate.load(graph_path(root, graph), exact=True)
        reached = agreement(graph, runners[graph](pictures), exact(pictures))
        _log.debug("%s: %s agrees with float32 to %.5f", root, graph, reached)
        if reached < AGREEMENT:
            return False
    return True


def _reference(random: np.random.Generator, size: Size) -> Picture:
    coarse = random.integers(0, 256, (6, 4, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return np.clip(soft + random.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)
