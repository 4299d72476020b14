"""The automatic choice of a runtime: the fastest of the machine that proves equal to float32."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ThreadlineError
from contracts.files import sha256_of_bytes, write_json
from contracts.images import Size
from contracts.model_package import Graph, ModelPackage, graph_path
from serving import openvino_float32, reference_pictures
from serving.reference_pictures import COUNT, reference_articles, reference_photos
from serving.runtimes import AUTOMATIC, EXACT, RUNTIMES, Engine, Part, Runner, Runtime, engine

_log = logging.getLogger(__name__)

AGREEMENT = 0.995
"""What less than float32 must reach: cosine of each vector, and share of equal mask pixels, against float32."""

UNDECIDED = 0.1
"""A pixel whose probability by float32 is this close to one half may fall on either side."""

RECALL = 0.002
"""How far the recall of the reference garments' photos may move from float32's."""

_TIE = 0.01
"""A difference of cosines that decides little."""

_FEW = 4
"""Pictures at a time, and as many as the segmenter, which takes longest, is checked on."""

Runners = Mapping[Graph, Runner]

Parts = Mapping[Graph, Part]


class Graphs(Mapping[Graph, Runner]):
    """The graphs of the package in `root` by `engine`, each loaded when it is first asked for.

    `parts` says what of those that take pictures stays in float32: nothing, where it says nothing of one. The others
    are in float32 always. `loaded` are graphs loaded before. Safe to read from several threads.
    """

    def __init__(
        self,
        engine: Engine,
        root: Path,
        package: ModelPackage,
        parts: Parts | None = None,
        loaded: Runners | None = None,
    ) -> None:
        self.parts: Parts = parts or {}
        self._engine = engine
        self._root = root
        self._package = package
        self._loaded: dict[Graph, Runner] = dict(loaded or {})
        self._lock = threading.Lock()

    def __getitem__(self, graph: Graph) -> Runner:
        if graph not in self._package.files:
            raise KeyError(graph)
        if graph not in self._loaded:
            with self._lock:
                if graph not in self._loaded:
                    self._loaded[graph] = self._load(graph)
        return self._loaded[graph]

    def __contains__(self, graph: object) -> bool:
        return graph in self._package.files

    def __iter__(self) -> Iterator[Graph]:
        return iter(self._package.files)

    def __len__(self) -> int:
        return len(self._package.files)

    def load_all(self) -> None:
        """Load every graph now."""
        for graph in self:
            self[graph]

    def prepare_for_many(self) -> None:
        """See `Engine.prepare_for_many`: of the graphs that are loaded."""
        self._engine.prepare_for_many()

    def _load(self, graph: Graph) -> Runner:
        part = self.parts.get(graph, "nothing") if takes_pictures(graph) else "everything"
        return self._engine.load(graph_path(self._root, graph), part)


_FILES = (__file__, openvino_float32.__file__, reference_pictures.__file__)
_COMPARISON = sha256_of_bytes(b"".join(Path(code).read_bytes() for code in _FILES))[:16]
"""What this module, the cut into precisions and the pictures are: another comparison may judge otherwise."""


def load_graphs(root: Path, package: ModelPackage, threads: int | None, runtime: str | None) -> tuple[Runtime, Graphs]:
    """The graphs of the package in `root`, and the runtime that runs them.

    They are loaded at once, but where the runtime is known to run them on this machine: then each when it is needed.

    With `runtime` given, that one, with a warning where it does not agree with float32 on reference pictures;
    otherwise the first of `AUTOMATIC` that works and agrees. Raises ThreadlineError for an unknown or unusable one.
    """
    if runtime is not None:
        name = _known(runtime)
        graphs, agrees = _graphs(engine(name, threads), root, package)
        if not agrees:
            _log.warning("%s: %s differs too much from float32 on this model, and is used as asked for", root, runtime)
        return name, graphs
    for name in AUTOMATIC[:-1]:
        try:
            graphs, agrees = _graphs(engine(name, threads), root, package)
            if agrees:
                return name, graphs
            _log.info("%s: %s differs too much from float32 on this model", root, name)
        except Exception as error:  # each runtime has its own; whatever it is, the next one is tried
            _log.info("%s: %s cannot be used (%s)", root, name, str(error).partition("\n")[0])
    last = Graphs(engine(AUTOMATIC[-1], threads), root, package)
    last.load_all()
    return AUTOMATIC[-1], last


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


Pictures = dict[Graph, NDArray[np.uint8]]
"""By the graph that takes them: (N, H, W, 3)."""

Outputs = dict[Graph, NDArray[np.float32]]
"""What graphs make of the reference pictures, row by row."""


def reference_pictures_of(package: ModelPackage) -> Pictures:
    """The reference garments for each graph that takes pictures: for photos worn, for articles by themselves.

    Each graph is judged alone: the photo encoder gets photos mostly as a segmenter leaves them.
    """
    return {graph: _pictures(package, graph) for graph in package.files if takes_pictures(graph)}


def reference_outputs(runners: Runners, pictures: Pictures) -> Outputs:
    """What each graph makes of its `pictures`, and what the article head makes of its encoder's features."""
    outputs: Outputs = {}
    for graph, given in pictures.items():
        outputs[graph] = _in_batches(runners[graph], given)
        if graph == "article_encoder" and "article_head" in runners:
            outputs["article_head"] = runners["article_head"](outputs[graph])
    return outputs


def recall(outputs: Outputs) -> float:
    """The share of garments that their photo finds among the first k, averaged over every k; in [0, 1].

    Recall at one k would move by whole garments, too coarse for a tolerance of 0.2 points. So would places: articles
    that are as close as the right one to within `_TIE` count as ahead of it in part.
    """
    photos, articles = (_unit(outputs[graph]) for graph in ("photo_encoder", _last_of_articles(outputs)))
    scores = photos @ articles.T
    closer = scores - np.diagonal(scores)[:, None]
    ahead = (1 + np.tanh(closer / (2 * _TIE))).sum(axis=1) / 2 - 0.5  # the right one itself counts as half
    return float(np.mean(1 - ahead / len(scores)))


def agreement(graph: Graph, found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """How far an output of `graph` agrees with the `exact` one, in [-1, 1].

    The lowest cosine of vectors; of masks the share of pixels that are equal, or that the exact one leaves undecided.
    """
    if graph == "segmenter":
        equal = (found >= 0.5) == (exact >= 0.5)
        return float(np.mean(equal | (abs(exact - 0.5) < UNDECIDED)))
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
    cosines = np.sum(found * exact, axis=1) / np.maximum(norms, 1e-12)
    return float(np.min(np.where(np.isfinite(cosines), cosines, -1.0)))


def _known(runtime: str) -> Runtime:
    for name in RUNTIMES:
        if name == runtime:
            return name
    raise ThreadlineError(f"'{runtime}' is no runtime", f"choose one of {', '.join(RUNTIMES)}")


def _graphs(candidate: Engine, root: Path, package: ModelPackage) -> tuple[Graphs, bool]:
    """The graphs by `candidate`, and whether they agree with float32: with as little left in it as that takes.

    What that is, is found out once on a machine, and noted beside the package.
    """
    if candidate.name in EXACT:
        graphs = Graphs(candidate, root, package)
        graphs.load_all()
        return graphs, True
    if candidate.identity is None:
        return _compared(candidate, root, package)
    notes = root.with_name(f"{root.name}.runtimes.json")
    noted: dict[str, Parts | None] = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
    key = f"{package.digest} {candidate.identity}, comparison {_COMPARISON}"
    if key in noted:
        parts = noted[key]
        return Graphs(candidate, root, package, parts or _all_in(candidate.parts[-1], package)), parts is not None
    graphs, agrees = _compared(candidate, root, package)
    noted[key] = graphs.parts if agrees else None
    with suppress(OSError):  # a folder that cannot be written is looked at again
        write_json(notes, noted)
    return graphs, agrees


def _compared(candidate: Engine, root: Path, package: ModelPackage) -> tuple[Graphs, bool]:
    """The graphs, loaded, with as little in float32 as makes them agree with it; the most, where nothing does."""
    ways = [Graphs(candidate, root, package, _all_in(part, package)) for part in candidate.parts]
    ways[0].load_all()
    pictures = reference_pictures_of(package)
    exact = reference_outputs(Graphs(candidate, root, package, _all_in("everything", package)), pictures)
    chosen: dict[Graph, Graphs] = {}
    found: Outputs = {}
    for graph, given in pictures.items():
        for way in ways:
            outputs = reference_outputs(way, {graph: given})
            reached = min(agreement(name, output, exact[name]) for name, output in outputs.items())
            _log.debug("%s: %s with %s in float32 agrees to %.5f", root, graph, way.parts[graph], reached)
            if reached >= AGREEMENT:
                chosen[graph], found = way, found | outputs
                break
        else:
            return ways[-1], False
    if package.kind == "matching" and abs(recall(found) - recall(exact)) >= RECALL:
        chosen |= {graph: ways[-1] for graph in chosen if graph != "segmenter"}
        if abs(recall(reference_outputs(ways[-1], pictures)) - recall(exact)) >= RECALL:
            return ways[-1], False
    parts = {graph: way.parts[graph] for graph, way in chosen.items()}
    loaded = {graph: chosen.get(graph, ways[0])[graph] for graph in package.files}
    return Graphs(candidate, root, package, parts, loaded), True


def _all_in(part: Part, package: ModelPackage) -> Parts:
    return {graph: part for graph in package.files if takes_pictures(graph)}


def _pictures(package: ModelPackage, graph: Graph) -> NDArray[np.uint8]:
    size = picture_size(package, graph)
    if graph == "article_encoder":
        return reference_articles(size)
    return reference_photos(size, _FEW if graph == "segmenter" else COUNT)


def _in_batches(run: Runner, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([run(pictures[start : start + _FEW]) for start in range(0, len(pictures), _FEW)])


def _last_of_articles(outputs: Outputs) -> Graph:
    return "article_head" if "article_head" in outputs else "article_encoder"


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.asarray(vectors / lengths, dtype=np.float32)
