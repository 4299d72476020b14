"""From a trained network to a model package: ONNX graphs that give what the network gives."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.errors import ThreadlineError
from contracts.model_package import Graph, ModelPackage, digests_of_graphs, graph_path, write_package
from training.context import Trained, TrainingContext

LIBRARIES = (
    "threadline",
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "pytorch-lightning",
    "onnx",
    "onnxruntime",
    "numpy",
    "pillow",
)
"""Those whose release can change what a training gives."""

LEAST_COSINE = 0.9999
"""Between a row of the graph's output and the network's."""


@dataclass(frozen=True)
class GraphExport:
    """A network to export, with inputs (N, …) to check it on."""

    name: Graph
    network: nn.Module
    inputs: tuple[tuple[str, Tensor], ...]
    output: str


def export_graph(graph: GraphExport, root: Path) -> None:
    """Write `graph` into `root` with a free batch size and compare it with the network.

    Raises ThreadlineError when an output row's cosine to the network's is under `LEAST_COSINE`.
    """
    network = graph.network.eval().cpu()
    path = graph_path(root, graph.name)
    tensors = tuple(tensor for _, tensor in graph.inputs)
    names = [name for name, _ in graph.inputs]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(tensor[:2] for tensor in tensors),
            path,
            input_names=names,
            output_names=[graph.output],
            dynamic_axes={name: {0: "batch"} for name in (*names, graph.output)},
            opset_version=17,
            dynamo=False,
        )
        expected = network(*tensors).numpy()
    feed = {name: tensor.numpy() for name, tensor in graph.inputs}
    check_congruence(graph.name, run_graph(path, feed), expected)


def check_congruence(name: str, found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Raise ThreadlineError where `found` differs from `expected` in shape, or in direction by more than allowed.

    Outputs of one number a row are compared as one vector.
    """
    if found.shape == expected.shape:
        rows = (1, -1) if expected.ndim == 1 else (len(expected), -1)
        one, other = found.reshape(rows).astype(np.float64), expected.reshape(rows).astype(np.float64)
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        products = (one * other).sum(axis=1) / np.maximum(norms, 1e-30)
        cosine = np.where(norms == 0, np.all(one == other, axis=1), products)
        if np.isfinite(found).all() and cosine.min() >= LEAST_COSINE:
            return
    raise ThreadlineError(
        f"the exported graph '{name}' does not give what the network gives",
        "do not use this package; train again with another backbone or another version of the exporter",
    )


def run_graph(path: Path, feed: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The first output of the ONNX file at `path`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    output: NDArray[np.float32] = session.run(None, feed)[0]
    return output


def finish(
    graphs: Sequence[GraphExport],
    description: dict[str, Any],
    metrics: dict[str, float],
    plots: Sequence[Path],
    context: TrainingContext,
    *,
    copied: Sequence[Graph] = (),
) -> Trained:
    """Export `graphs` into `context.out` and write `package.json`.

    `description` holds the other fields of `ModelPackage`; `copied` names graphs that lie in `context.out` already.
    """
    for graph in graphs:
        export_graph(graph, context.out)
    names = (*(graph.name for graph in graphs), *copied)
    package = ModelPackage(
        **description,
        files=digests_of_graphs(context.out, names),
        metrics=metrics,
        provenance=context.provenance.model_copy(update={"libraries": library_versions(), "machine": machine()}),
    )
    write_package(context.out, package)
    return Trained(package, metrics, tuple(plots))


def library_versions() -> dict[str, str]:
    """The releases of the libraries that shape a package."""
    return {name: version(name) for name in LIBRARIES}


def machine() -> str:
    """What the training ran on, in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{platform.system()}, {device}, {torch.get_num_threads()} threads"
