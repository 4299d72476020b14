"""The frozen first stages of a backbone through OpenVINO: the same maps, sooner.

Eager PyTorch passes a whole map through memory for each convolution, normalisation and activation; OpenVINO joins
them. A third of a training step with four frozen stages is spent there, and half as much this way.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from contracts.quiet import nothing_phones_home

if TYPE_CHECKING:
    from training.backbones import Backbone

_log = logging.getLogger(__name__)

Run = Callable[[Tensor], list[Tensor]]

MANY = 2000
"""Pictures from which on it earns the second that the other runtime's model takes to be made."""


class FrozenStages:
    """What frozen `stages` of a network give, computed at once by another runtime and put in their place.

    `levels` are the modules whose maps the network uses further on. The runtime's model is made on the first call, and
    again after `forget`, which must follow a change of weights. A copy makes its own.
    """

    def __init__(self, stages: Sequence[Sequence[nn.Module]], levels: Sequence[nn.Module]) -> None:
        self._stages, self._levels = stages, levels
        ends = [stage[-1] for stage in stages]
        self._wanted = [place for place, end in enumerate(ends) if end in levels or end is ends[-1]]
        self._run: Run | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenStages, (self._stages, self._levels)

    def forget(self) -> None:
        """Make the model anew on the next call."""
        self._run = None

    def fits(self, network: Backbone) -> bool:
        """Whether `network` gives the same with it as by itself; not every architecture's stages can be replaced."""
        pictures = torch.randint(0, 256, (2, 97, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        try:
            with _evaluating(network), torch.no_grad():
                own = network.pooling(network.trunk(network.normalise(pictures)))
                return torch.allclose(network.pooling(self(network, pictures)), own, rtol=1e-2, atol=1e-3)
        except Exception as error:  # of PyTorch, of OpenVINO, or of the network's own code
            _log.info("frozen stages of %s stay as they are: %s", type(network.trunk).__name__, error)
            return False

    def __call__(self, network: Backbone, pictures: Tensor) -> Any:
        """What the trunk of `network` gives for `pictures` (N, H, W, 3) uint8."""
        if self._run is None:
            self._run = openvino_run(_Maps(network, [self._stages[place][-1] for place in self._wanted]), network)
        maps = self._run(pictures)
        with _replaced(self._stages, dict(zip(self._wanted, maps, strict=True))):
            return network.trunk(maps[-1])


def can_be_used(pictures: Tensor) -> bool:
    """Whether it is the processor that computes, in float32, and no graph of the network is being recorded."""
    recording = torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()
    return pictures.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not recording


class _Maps(nn.Module):
    """Pictures to the maps that the modules `ends` of a network give."""

    def __init__(self, network: Backbone, ends: Sequence[nn.Module]) -> None:
        super().__init__()
        self._network, self._ends = network, ends

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        hooks = [end.register_forward_hook(lambda _module, _given, out: maps.append(out)) for end in self._ends]
        self._network.trunk(self._network.normalise(pictures))
        for hook in hooks:
            hook.remove()
        return maps


def openvino_run(maps: nn.Module, network: nn.Module) -> Run:
    """`maps` of `network`, from pictures (N, H, W, 3) uint8 to (N, C, h, w), in float32 and on torch's threads."""
    nothing_phones_home()
    openvino = importlib.import_module("openvino")  # it has no types
    preprocess = importlib.import_module("openvino.preprocess")
    with _evaluating(network), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing
        model = openvino.convert_model(
            maps,
            example_input=torch.zeros(2, 64, 64, 3, dtype=torch.uint8),
            input=[openvino.PartialShape([-1, -1, -1, 3])],
        )
    channels_last = preprocess.PrePostProcessor(model)
    for place in range(len(model.outputs)):
        channels_last.output(place).model().set_layout(openvino.Layout("NCHW"))
        channels_last.output(place).tensor().set_layout(openvino.Layout("NHWC"))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(channels_last.build(), "CPU", settings).create_infer_request()

    def run(pictures: Tensor) -> list[Tensor]:
        found = request.infer({0: pictures.contiguous().numpy()}, share_inputs=True)
        return [torch.from_numpy(found[place]).permute(0, 3, 1, 2) for place in range(len(model.outputs))]

    return run


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards in its own: some of a network may be in another than the rest."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _replaced(stages: Sequence[Sequence[nn.Module]], maps: dict[int, Tensor]) -> Iterator[None]:
    """Let each stage return its map, or as little as whatever follows can work on where nobody looks at it."""
    nothing = torch.zeros(1, 1, 8, 8)
    for place, stage in enumerate(stages):
        for part in stage:
            part.forward = _always(maps.get(place, nothing))
    try:
        yield
    finally:
        for stage in stages:
            for part in stage:
                del part.forward


def _always(given: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _: given
