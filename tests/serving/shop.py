"""A tiny shop for tests: coloured articles, packages that find colours, a registry and an embedded index.

The networks are real ONNX graphs, written by hand: a picture becomes its 2 x 2 grid of mean colours, turned by a
matrix that differs from package to package, so that vectors of two packages do not fit each other.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from contracts.files import digest_of
from contracts.images import Picture, encode_jpeg, read
from contracts.index import Points
from contracts.model_package import (
    Graph,
    ModelPackage,
    Provenance,
    Sizes,
    digests_of_graphs,
    read_package,
    write_package,
)
from contracts.registry import Release
from orchestration.tracking import log_training, record_gain, register_serving
from serving.index import open_index
from serving.inference import PackageSession
from serving.registry import MlflowRegistry
from serving.settings import Settings

SIDE = 32
GRID = 2
FEATURES = 3 * GRID * GRID
CATEGORIES = ("dress", "shirt", "skirt")
COLOURS = ("red", "green")


@dataclass
class Shop:
    """A workspace in `root` with `count` articles; `template` is an empty tracking database to start from."""

    root: Path
    template: Path | None = None
    count: int = 12
    pictures: dict[str, Picture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        database = self.root / "home" / "mlflow" / "mlflow.db"
        database.parent.mkdir(parents=True)
        if self.template is not None:
            shutil.copy(self.template, database)
        images = self.root / "data" / "catalogue" / "first" / "images"
        images.mkdir(parents=True)
        rng = np.random.default_rng(23)
        for number in range(self.count):
            colours = 170 * rng.integers(0, 2, size=(GRID, GRID, 3), dtype=np.uint8)
            picture = np.kron(colours, np.ones((40, 40, 1), dtype=np.uint8))
            self.pictures[f"a{number}"] = picture
            Image.fromarray(picture).save(images / f"a{number}.png")

    @property
    def settings(self) -> Settings:
        return Settings(home=self.root / "home", data=self.root / "data", poll_s=0.05, port=0, threads=1)

    @property
    def registry(self) -> MlflowRegistry:
        return MlflowRegistry(self.settings.tracking_uri)

    def photo(self, article_id: str) -> bytes:
        """A street photo, as PNG or JPEG bytes, of somebody who wears the article."""
        canvas = np.full((160, 120, 3), 255, dtype=np.uint8)
        picture = self.pictures[article_id]
        canvas[40 : 40 + picture.shape[0], 20 : 20 + picture.shape[1]] = picture
        return encode_jpeg(canvas, quality=97)

    def package(self, seed: int = 1, *, segments: bool = True, reranks: bool = False) -> Path:
        """The folder of a package; another `seed` gives other vectors."""
        root = self.root / f"package-{seed}-{segments}-{reranks}"
        if root.exists():
            return root
        root.mkdir()
        dimension = 32 + seed
        graphs: list[Graph] = ["photo_encoder", "article_encoder", "article_head"]
        turn = np.random.default_rng(seed).standard_normal((FEATURES, dimension)).astype(np.float32)
        onnx.save(_colours(turn), root / "photo_encoder.onnx")
        onnx.save(_colours(None), root / "article_encoder.onnx")
        onnx.save(_head(turn), root / "article_head.onnx")
        if segments:
            graphs.append("segmenter")
            onnx.save(_segmenter(), root / "segmenter.onnx")
        if reranks:
            graphs.append("reranker")
            onnx.save(_reranker(dimension), root / "reranker.onnx")
        size = (SIDE, SIDE)
        package = ModelPackage(
            method="fashion2shop",
            kind="matching",
            sizes=Sizes(segmenter=size if segments else None, photo=size, article=size),
            dimension=dimension,
            files=digests_of_graphs(root, tuple(graphs)),
            metrics={"recall@1": 0.5},
            provenance=Provenance(data_version="data-1", code_version="code-1"),
        )
        write_package(root, package)
        return root

    def points(self, root: Path, article_ids: tuple[str, ...] | None = None) -> Points:
        """What the collection of the package `root` should hold."""
        ids = article_ids or tuple(self.pictures)
        session = PackageSession(root, threads=1)
        paths = [f"catalogue/first/images/{article_id}.png" for article_id in ids]
        features = session.article_features([read(self.root / "data" / path) for path in paths])
        return Points(
            article_ids=ids,
            vectors=session.article_vectors(features),
            vector_digests=tuple(digest_of([session.package.digest, article_id]) for article_id in ids),
            payloads=tuple(_payload(article_id, path) for article_id, path in zip(ids, paths, strict=True)),
        )

    def register(self, root: Path) -> str:
        """The version of the serving model that holds the package `root`."""
        uri, artifacts = self.settings.tracking_uri, self.root / "home" / "mlflow" / "artifacts"
        logged = log_training(uri, str(artifacts), "training", "fashion2shop", root, {}, [], [], {})
        return register_serving(uri, "fashion2shop", logged.version)

    def release(
        self, root: Path, article_ids: tuple[str, ...] | None = None, k_reciprocal_gain: float = 0.0
    ) -> Release:
        """Register, measure, index and publish the package `root`."""
        version = self.register(root)
        if k_reciprocal_gain:
            record_gain(self.settings.tracking_uri, "fashion2shop", read_package(root).digest, k_reciprocal_gain)
        made = open_index(self.settings.home, None).reconcile(f"c{version}", self.points(root, article_ids))
        self.registry.publish(version, made.reference)
        champion = self.registry.champion()
        assert champion is not None
        return champion


def _payload(article_id: str, image: str) -> dict[str, object]:
    number = int(article_id[1:])
    return {
        "article_id": article_id,
        "name": f"Article {number}",
        "category": CATEGORIES[number % len(CATEGORIES)],
        "assortments": ["summer" if number % 2 else "winter"],
        "attributes": {"colour": COLOURS[number % len(COLOURS)], "fit. [eu]": "wide" if number < 6 else "slim"},
        "image": image,
        "images": [image],
        "price": 10.0 + number,
        "in_stock": number % 4 != 0,
    }


def _model(
    nodes: list[onnx.NodeProto], inputs: list[tuple], output: tuple, constants: dict[str, NDArray]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


_PICTURES = ("pictures", TensorProto.UINT8, ["n", SIDE, SIDE, 3])


def _floats() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "white"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
    ]


def _colours(turn: NDArray[np.float32] | None) -> onnx.ModelProto:
    """Mean colours of the grid, as darkness around its usual value; turned and of unit length where `turn` is given."""
    step = SIDE // GRID
    nodes = [
        *_floats(),
        helper.make_node("AveragePool", ["planes"], ["grid"], kernel_shape=[step, step], strides=[step, step]),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        helper.make_node("Sub", ["usual", "flat"], ["features"]),
    ]
    constants = {"white": np.float32(255), "usual": np.float32(1 / 3)}
    if turn is None:
        return _model(nodes, [_PICTURES], ("features", TensorProto.FLOAT, ["n", FEATURES]), constants)
    nodes += _turned()
    return _model(nodes, [_PICTURES], ("vectors", TensorProto.FLOAT, ["n", turn.shape[1]]), {**constants, "turn": turn})


def _turned() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["features", "turn"], ["turned"]),
        helper.make_node("LpNormalization", ["turned"], ["vectors"], axis=1, p=2),
    ]


def _head(turn: NDArray[np.float32]) -> onnx.ModelProto:
    inputs = [("features", TensorProto.FLOAT, ["n", FEATURES])]
    return _model(_turned(), inputs, ("vectors", TensorProto.FLOAT, ["n", turn.shape[1]]), {"turn": turn})


def _segmenter() -> onnx.ModelProto:
    """A person is what is not white."""
    nodes = [
        *_floats(),
        helper.make_node("ReduceMean", ["planes"], ["grey"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["threshold", "grey"], ["dark"]),
        helper.make_node("Mul", ["dark", "steep"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["person"]),
    ]
    constants = {"white": np.float32(255), "threshold": np.float32(0.9), "steep": np.float32(60)}
    return _model(nodes, [_PICTURES], ("person", TensorProto.FLOAT, ["n", SIDE, SIDE]), constants)


def _reranker(dimension: int) -> onnx.ModelProto:
    """Prefers light articles, whatever the photo: so that a test sees that it ranked."""
    nodes = [
        helper.make_node("ReduceSum", ["pooled", "axis"], ["darkness"], keepdims=0),
        helper.make_node("ReduceSum", ["photo", "axis"], ["anything"], keepdims=0),
        helper.make_node("Mul", ["anything", "zero"], ["nothing"]),
        helper.make_node("Sub", ["nothing", "darkness"], ["logits"]),
    ]
    inputs = [("photo", TensorProto.FLOAT, ["n", dimension]), ("pooled", TensorProto.FLOAT, ["n", FEATURES])]
    constants = {"axis": np.array([1], dtype=np.int64), "zero": np.float32(0)}
    return _model(nodes, inputs, ("logits", TensorProto.FLOAT, ["n"]), constants)
