"""Cutting an OpenVINO model in two, so that its first layers can compute in float32 and the others in less.

bfloat16's rounding errors come from the first layers: on plain ground every place of a large map makes the same error,
which no later pooling averages out. The last layers add next to nothing (docs/benchmarks.md, "Runtimes").
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

_PIXELS_A_PLACE = 16
"""Maps with a place for so many pixels or fewer are the first layers': down to a quarter of the picture's sides."""


class Halves(NamedTuple):
    """Two models of OpenVINO: the outputs of `first`, in order, are the inputs of `rest`."""

    first: Any
    rest: Any


def gives_vectors(model: Any) -> bool:
    """Whether `model` gives vectors (N, D)."""
    return len(model.output(0).get_partial_shape()) == 2


def split(model: Any) -> Halves | None:
    """`model`, which takes pictures (N, H, W, 3), cut behind its first layers; None where it has none.

    `model` itself is used up.
    """
    passes = importlib.import_module("openvino.passes")
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())  # biases and sizes are calculations otherwise
    manager.run_passes(model)
    first = _first_layers(model)
    places: dict[Any, list[Any]] = {}  # by what crosses the cut: the inputs on the far side that take it
    for node in model.get_ordered_ops():
        for taken in [] if _name(node) in first else node.inputs():
            source = taken.get_source_output()
            if _name(source.get_node()) in first:
                places.setdefault(source, []).append(taken)
    if {_name(each.get_node()) for each in places} <= {_name(each) for each in model.get_parameters()}:
        return None
    return _cut(model, places)


def _cut(model: Any, places: dict[Any, list[Any]]) -> Halves:
    openvino = importlib.import_module("openvino")
    parameters = []
    for source, takers in places.items():
        parameter = openvino.opset8.parameter(source.get_partial_shape(), source.get_element_type())
        for taken in takers:
            taken.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    first = openvino.Model(list(places), model.get_parameters(), "first")
    return Halves(first, openvino.Model(model.get_results(), parameters, "rest"))


def _first_layers(model: Any) -> set[str]:
    """The names of the nodes that compute large maps from large maps alone, and of what these take besides."""
    _, height, width, _ = model.input(0).get_partial_shape()
    fewest = height.get_length() * width.get_length() / _PIXELS_A_PLACE
    first = {_name(each) for each in model.get_parameters()}
    ordered = model.get_ordered_ops()
    for node in ordered:
        sources = [taken.get_source_output() for taken in node.inputs()]
        maps = [_name(each.get_node()) for each in sources if _places(each) > 0]
        if maps and first.issuperset(maps) and node.get_output_size() and _places(node.output(0)) >= fewest:
            first.add(_name(node))
    for node in reversed(ordered):
        if _name(node) in first:
            sources = [taken.get_source_output().get_node() for taken in node.inputs()]
            first.update(_name(each) for each in sources if each.get_type_name() != "Constant")
    return first


def _places(output: Any) -> int:
    """How many places the map `output` has: of (N, H, W, 3) pictures or (N, C, H, W) maps; 0 where it is neither."""
    shape = output.get_partial_shape()
    if output.get_node().get_type_name() in ("Constant", "Result") or shape.rank.is_dynamic or len(shape) != 4:
        return 0
    if any(each.is_dynamic for each in list(shape)[1:]):
        return 0
    one, two, three = (each.get_length() for each in list(shape)[1:])
    return int(one * two if three == 3 else two * three)


def _name(node: Any) -> str:
    return str(node.get_friendly_name())
