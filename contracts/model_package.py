"""A model package: a folder with ONNX graphs and `package.json`. Everything downstream knows packages only.

Graphs take pictures as (N, H, W, 3) uint8 RGB, normalisation inside. Their names and outputs:

| graph             | input                                   | output                                             |
| ----------------- | --------------------------------------- | -------------------------------------------------- |
| `segmenter`       | pictures at `sizes.segmenter`           | (N, H, W) float32 person probability in [0, 1]     |
| `photo_encoder`   | pictures at `sizes.photo`               | (N, D) float32 unit vectors                        |
| `article_encoder` | pictures at `sizes.article`             | (N, F) float32 features of single images           |
| `article_head`    | (N, F) float32 pooled features          | (N, D) float32 unit vectors                        |
| `reranker`        | (N, D) photo and (N, F) pooled features | (N,) float32 logits, higher is a better match      |

The features of an article's images are pooled (`pooling`) and go through `article_head`, or, where the package has
none, are scaled to unit length. Photo and article vectors meet in one space: a higher dot product is a closer match.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.errors import ThreadlineError
from contracts.files import digest_of, sha256_of_file, write_json

PACKAGE_FILE = "package.json"
WEIGHTS_FILE = "encoder.safetensors"
"""The article encoder's weights, for trainings that go on from them. Nothing that serves reads it."""

Graph = Literal["segmenter", "photo_encoder", "article_encoder", "article_head", "reranker"]
Kind = Literal["segmenter", "features", "matching"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sizes(_Frozen):
    """The (height, width) in pixels that the graphs take."""

    segmenter: tuple[int, int] | None = None
    photo: tuple[int, int] | None = None
    article: tuple[int, int] | None = None


class Provenance(_Frozen):
    """Where a package comes from: data, inputs, code, libraries, configuration (with its seed), run and machine."""

    data_version: str = ""
    inputs: dict[str, str] = {}
    code_version: str = ""
    config: dict[str, Any] = {}
    libraries: dict[str, str] = {}
    machine: str = ""
    mlflow_run: str = ""


class ModelPackage(_Frozen):
    """The content of `package.json`.

    `kind` says which graphs there are: a "segmenter" has that graph, "features" has `article_encoder`, "matching"
    has `photo_encoder` and `article_encoder`, optionally `segmenter` (the photo is then segmented first),
    `article_head` and `reranker`. `files` maps a graph to the SHA-256 of its file `<graph>.onnx`; `weights` is that of
    `encoder.safetensors`, where the package holds it.
    """

    format: Literal[1] = 1
    method: str
    kind: Kind
    sizes: Sizes
    dimension: int
    pooling: Literal["mean", "max"] = "mean"
    files: dict[Graph, str]
    weights: str | None = None
    metrics: dict[str, float] = {}
    provenance: Provenance = Provenance()

    @property
    def digest(self) -> str:
        """What the package does, as a digest: its graphs and behaviour, not its metrics or its origin."""
        behaviour = self.model_dump(mode="json", exclude={"weights", "metrics", "provenance"})
        return digest_of(behaviour)

    @property
    def segments(self) -> bool:
        """Whether a photo is segmented before it is encoded."""
        return "segmenter" in self.files

    def article_digest(self) -> str:
        """What determines the features of one article image: the encoder's graph and its picture size."""
        return digest_of([self.files["article_encoder"], self.sizes.article])


def graph_path(root: Path, graph: Graph) -> Path:
    """Where the ONNX file of `graph` lies in the package `root`."""
    return root / f"{graph}.onnx"


def write_package(root: Path, package: ModelPackage) -> None:
    """Write `package.json` beside the graphs, which must already lie in `root`."""
    write_json(root / PACKAGE_FILE, package.model_dump(mode="json"))


def read_package(root: Path, *, verify: bool = False) -> ModelPackage:
    """Read a package; with `verify`, check every file against its digest.

    Raises ThreadlineError when the folder is no package, is incomplete, or was altered.
    """
    path = root / PACKAGE_FILE
    try:
        package = ModelPackage.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ThreadlineError(f"{root} is no model package: package.json is missing", "export it again") from error
    except (ValidationError, ValueError) as error:
        raise ThreadlineError(f"{path} is not in the package format: {error}", "export it again") from error
    for file, digest in package_files(root, package).items():
        if not file.is_file():
            raise ThreadlineError(f"{file} is missing from the package", "fetch or export the package again")
        if verify and sha256_of_file(file) != digest:
            raise ThreadlineError(f"{file} is not what the package says", "fetch or export the package again")
    return package


def package_files(root: Path, package: ModelPackage) -> dict[Path, str]:
    """The SHA-256 of each file that belongs to the package at `root`, besides `package.json`."""
    files = {graph_path(root, graph): digest for graph, digest in package.files.items()}
    return {**files, root / WEIGHTS_FILE: package.weights} if package.weights else files


def digests_of_graphs(root: Path, graphs: tuple[Graph, ...]) -> dict[Graph, str]:
    """The SHA-256 of each graph's file in `root`."""
    return {graph: sha256_of_file(graph_path(root, graph)) for graph in graphs}
