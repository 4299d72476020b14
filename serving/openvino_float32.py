"""Keeping the first layers of an OpenVINO model in float32 where the others compute in bfloat16.

bfloat16's rounding errors come from the first layers: on plain ground every place of a large map makes the same error,
which no later pooling averages out. The last layers add next to nothing (docs/benchmarks.md, "Runtimes").
"""

from __future__ import annotations

import importlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

_ATTRIBUTE = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:dynamic"}
"""What keeps an operation in its own precision, as models in OpenVINO's format say it; Python has no other way."""


def kept_in_float32(model: Any, core: Any, halvings: int) -> Any:
    """`model`, which takes pictures (N, H, W, 3), with its first layers in float32 whatever it is compiled for.

    These are the layers whose maps have at least 1 / 2**halvings of the picture's sides. `model` itself is used up.
    An OpenVINO that does not know the attribute computes them like the others.
    """
    # Now, for what is put together later takes no attribute over: the parts of a batch norm, padding and its layer.
    importlib.import_module("openvino._offline_transformations").apply_moc_transformations(model, cf=True)
    first = _first_layers(model, halvings)
    passes = importlib.import_module("openvino.passes")
    with TemporaryDirectory() as folder:
        written, weights = Path(folder) / "model.xml", Path(folder) / "model.bin"
        manager = passes.Manager()
        manager.register_pass(passes.Serialize(str(written), str(weights)))
        manager.run_passes(model)
        document = ElementTree.fromstring(written.read_bytes())
        for layer in document.iter("layer"):
            if layer.get("name") in first:
                information = layer.find("rt_info")
                if information is None:
                    information = ElementTree.SubElement(layer, "rt_info")
                ElementTree.SubElement(information, "attribute", _ATTRIBUTE)
        return core.read_model(ElementTree.tostring(document), weights.read_bytes())


def _first_layers(model: Any, halvings: int) -> set[str]:
    """The names of the nodes that compute large maps from large maps alone, and of what these take besides."""
    _, height, width, _ = model.input(0).get_partial_shape()
    fewest = height.get_length() * width.get_length() / 4**halvings
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
