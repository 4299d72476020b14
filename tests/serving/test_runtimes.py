"""Which runtime is chosen where a GPU is reported: with runtimes that only say they have one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from contracts.errors import ThreadlineError
from contracts.model_package import ModelPackage, Sizes, digests_of_graphs, graph_path, write_package
from serving import runtimes
from serving.inference import PackageSession
from serving.openvino_float32 import kept_in_float32
from serving.precision import agreement
from serving.reference_pictures import reference_articles
from serving.runtimes import RUNTIMES, engine
from tests.serving.test_inference import PLAIN, album, package, save, scaled, usable

REAL = onnxruntime.InferenceSession
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


class Session:
    """Computes on the CPU, says that it does so on the first provider asked for, and adds `off` to what comes out."""

    def __init__(self, path: Path, options: Any, providers: list[tuple[str, dict[str, str]]], off: float) -> None:
        self._session = REAL(path, options, providers=[CPU])
        self._providers = [name for name, _ in providers]
        self._off = off if self._providers[0] != CPU else 0.0

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, names: None, feed: dict[str, Any]) -> list[Any]:
        out = self._session.run(names, feed)[0]
        return [out + self._off * np.arange(out.shape[1])]


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[Any]]]:
    """Lets ONNX Runtime report these providers; returns the providers of every session that is made."""

    def report(*available: str, off: float = 0.0, fails: bool = False, falls_back: bool = False) -> list[list[Any]]:
        made: list[list[Any]] = []

        def session(path: Path, options: Any, providers: list[tuple[str, dict[str, str]]]) -> Any:
            made.append(providers)
            if fails and providers[0][0] != CPU:
                raise OSError("libcudnn.so.9: cannot open shared object file")
            return Session(path, options, providers[-1:] if falls_back else providers, off)

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*available, CPU])
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        return made

    return report


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return package(tmp_path / "plain", PLAIN)


def test_a_gpu_that_agrees_is_chosen_before_the_processor(root: Path, nvidia: Callable[..., list[list[Any]]]) -> None:
    made = nvidia(TENSORRT, CUDA)
    session = PackageSession(root)
    assert session.precision == "cuda-tensorfloat32"
    assert all(name != TENSORRT for providers in made for name, _ in providers), "TensorRT has to be asked for"
    assert made[0][0][1]["use_tf32"] == "1"
    expected = PackageSession(root, runtime="onnxruntime-float32").encode_photos(album()[:3])
    np.testing.assert_allclose(session.encode_photos(album()[:3]), expected, atol=1e-5)


def test_a_gpu_that_computes_something_else_is_not_chosen(root: Path, nvidia: Callable[..., list[list[Any]]]) -> None:
    nvidia(CUDA, off=0.5)
    assert not PackageSession(root).precision.startswith("cuda")


@pytest.mark.parametrize("broken", [{"fails": True}, {"falls_back": True}])
def test_a_gpu_without_its_libraries_is_passed_over_and_refused_when_pinned(
    root: Path, nvidia: Callable[..., list[list[Any]]], broken: dict[str, bool]
) -> None:
    nvidia(CUDA, **broken)
    assert not PackageSession(root).precision.startswith("cuda")
    with pytest.raises(ThreadlineError, match="cannot use its CUDAExecutionProvider"):
        PackageSession(root, runtime="cuda-tensorfloat32")


def test_tensorrt_is_used_when_pinned(root: Path, nvidia: Callable[..., list[list[Any]]]) -> None:
    made = nvidia(TENSORRT, CUDA)
    assert PackageSession(root, runtime="tensorrt-float16").precision == "tensorrt-float16"
    assert made[0][0] == (TENSORRT, {"trt_fp16_enable": "1"})


def test_a_gpu_that_is_not_reported_cannot_be_pinned(root: Path, nvidia: Callable[..., list[list[Any]]]) -> None:
    nvidia()
    for runtime in ("tensorrt-float16", "cuda-tensorfloat32"):
        with pytest.raises(ThreadlineError, match="this ONNX Runtime has no"):
            PackageSession(root, runtime=runtime)


class Core:
    """OpenVINO with the devices given; what it compiles for runs on the processor."""

    def __init__(self, devices: list[str], compiled: list[tuple[str, str]]) -> None:
        self.available_devices = devices
        self._compiled = compiled
        self._core = runtimes._openvino().Core()

    def get_property(self, device: str, name: str) -> Any:
        return self._core.get_property(device, name)

    def read_model(self, path: Path) -> Any:
        return self._core.read_model(path)

    def compile_model(self, model: Any, device: str, hints: dict[str, Any]) -> Any:
        self._compiled.append((device, hints["INFERENCE_PRECISION_HINT"]))
        return self._core.compile_model(model, "CPU", {**hints, "INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize("devices", [["CPU", "GPU"], ["CPU", "GPU.0", "GPU.1"]])
def test_an_intel_gpu_is_chosen_and_compared_with_the_processor(
    root: Path, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[str, str]] = []
    core = Core(devices, compiled)
    monkeypatch.setattr(runtimes, "_openvino", lambda: SimpleNamespace(Core=lambda: core))
    assert PackageSession(root).precision == "openvino-gpu-float16"
    assert compiled == [("GPU", "f16")] * 2 + [("CPU", "f32")] * 2


def test_without_an_intel_gpu_it_cannot_be_pinned() -> None:
    if any(one.startswith("GPU") for one in runtimes._openvino().Core().available_devices):
        pytest.skip("this machine has one")
    with pytest.raises(ThreadlineError, match="finds no GPU"):
        engine("openvino-gpu-float16")


WIDTH = 16


def save_network(path: Path, *, brittle: bool = False) -> None:
    """Two strided convolutions on (64, 48) pictures, and a third where the maps are small.

    `brittle` adds and takes away so much behind them that bfloat16 loses the rest.
    """
    random = np.random.default_rng(5)
    weights = {
        "a": random.normal(size=(WIDTH, 3, 3, 3)) / 3,
        "b": random.normal(size=(WIDTH, WIDTH, 3, 3)) / 9,
        "c": random.normal(size=(WIDTH, WIDTH, 3, 3)) / 9,
        "d": random.normal(size=(WIDTH, WIDTH, 1, 1)),
    }
    if brittle:
        weights["d"] *= 1e-3
    strided = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        *scaled(),
        helper.make_node("Transpose", ["x"], ["maps"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["maps", "a"], ["half"], **strided),
        helper.make_node("Relu", ["half"], ["half_relu"]),
        helper.make_node("Conv", ["half_relu", "b"], ["quarter"], **strided),
        helper.make_node("Conv", ["quarter", "c"], ["eighth"], **strided),
        helper.make_node("Relu", ["eighth"], ["eighth_relu"]),
        helper.make_node("Conv", ["eighth_relu", "d"], ["small"], kernel_shape=[1, 1]),
        *(
            [
                helper.make_node("Add", ["small", "thousand"], ["large"]),
                helper.make_node("Conv", ["large", "alternating"], ["last"], kernel_shape=[1, 1]),
            ]
            if brittle
            else [helper.make_node("Conv", ["small", "alternating"], ["last"], kernel_shape=[1, 1])]
        ),
        helper.make_node("ReduceMean", ["last"], ["out"], axes=[2, 3], keepdims=0),
    ]
    alternating = np.eye(WIDTH) - np.roll(np.eye(WIDTH), 1, axis=0)
    constants = {key: value.astype(np.float32) for key, value in weights.items()} | {
        "full": np.float32(255),
        "alternating": alternating[..., None, None].astype(np.float32),
    }
    if brittle:
        constants["thousand"] = np.float32(1000)
    save(path, nodes, {"pictures": ["n", 64, 48, 3]}, ["n", WIDTH], constants)


@pytest.mark.skipif(not usable("openvino-bfloat16"), reason="this processor has no bfloat16")
@pytest.mark.parametrize(("halvings", "kept"), [(0, 0), (1, 1), (2, 2), (3, 5)])
def test_the_layers_of_large_maps_and_no_others_compute_in_float32(tmp_path: Path, halvings: int, kept: int) -> None:
    save_network(tmp_path / "network.onnx")
    core = runtimes._openvino().Core()
    model = kept_in_float32(core.read_model(tmp_path / "network.onnx"), core, halvings)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    layers = [dict(each.get_rt_info()) for each in compiled.get_runtime_model().get_ordered_ops()]
    formats = [each["runtimePrecision"].value for each in layers if each["layerType"].value == "Convolution"]
    assert formats == ["f32"] * kept + ["bf16"] * (5 - kept)


@pytest.mark.parametrize("halvings", [1, 2])
def test_a_model_with_layers_kept_computes_what_it_did(tmp_path: Path, halvings: int) -> None:
    save_network(tmp_path / "network.onnx")
    core = runtimes._openvino().Core()
    model = kept_in_float32(core.read_model(tmp_path / "network.onnx"), core, halvings)
    pictures = reference_articles((64, 48), 5)
    found = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([pictures])[0]
    exact = engine("onnxruntime-float32").load(tmp_path / "network.onnx")(pictures)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not usable("openvino-bfloat16"), reason="this processor has no bfloat16")
def test_more_layers_in_float32_bring_bfloat16_closer(tmp_path: Path) -> None:
    path, pictures = tmp_path / "network.onnx", reference_articles((64, 48), 16)
    save_network(path)
    exact = engine("openvino-float32").load(path)(pictures)
    reduced = engine("openvino-bfloat16")
    far, near, nearest = (
        1 - agreement("article_encoder", reduced.load(path, part)(pictures), exact) for part in reduced.parts
    )
    assert nearest < near < far
    assert nearest < 0.7 * far
    assert nearest > 1e-7, "the rest does compute in bfloat16"


def save_segmenter(path: Path, offset: float) -> None:
    """Where (48, 36) pictures are dark, block by block; with a large `offset` bfloat16 loses it in the first layers."""
    nodes = [
        *scaled(),
        helper.make_node("Transpose", ["x"], ["maps"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["maps", "light_and_none"], ["two"], kernel_shape=[1, 1]),
        helper.make_node("Add", ["two", "offset"], ["large"]),
        helper.make_node("Conv", ["large", "difference"], ["dark"], kernel_shape=[1, 1]),
        helper.make_node("AveragePool", ["dark"], ["blocks"], kernel_shape=[6, 6], strides=[6, 6]),
        helper.make_node("Resize", ["blocks", "", "scales"], ["even"], mode="nearest"),
        helper.make_node("Squeeze", ["even", "axis"], ["margin"]),
        helper.make_node("Add", ["margin", "threshold"], ["out"]),
    ]
    constants = {
        "full": np.float32(255),
        "light_and_none": np.array([[1 / 3] * 3, [0] * 3], np.float32)[..., None, None],
        "offset": np.float32(offset),
        "difference": np.array([[-1, 1]], np.float32)[..., None, None],
        "scales": np.array([1, 1, 6, 6], np.float32),
        "axis": np.array([1], np.int64),
        "threshold": np.float32(1.3),
    }
    save(path, nodes, {"pictures": ["n", 48, 36, 3]}, ["n", 48, 36], constants)


@pytest.mark.skipif(not usable("openvino-bfloat16"), reason="this processor has no bfloat16")
@pytest.mark.parametrize(("offset", "part"), [(0, "nothing"), (1000, "half")])
def test_as_little_as_agrees_stays_in_float32(tmp_path: Path, offset: float, part: str) -> None:
    root = tmp_path / "segmenter"
    root.mkdir()
    save_segmenter(graph_path(root, "segmenter"), offset)
    files, sizes = digests_of_graphs(root, ("segmenter",)), Sizes(segmenter=(48, 36))
    write_package(root, ModelPackage(method="blocks", kind="segmenter", sizes=sizes, dimension=0, files=files))
    assert PackageSession(root).precision == "openvino-bfloat16"
    noted = json.loads((tmp_path / "segmenter.runtimes.json").read_text(encoding="utf-8"))
    assert list(noted.values()) == [{"segmenter": part}]


@pytest.mark.skipif(not usable("openvino-bfloat16"), reason="this processor has no bfloat16")
@pytest.mark.parametrize(("brittle", "chosen"), [(False, "openvino-bfloat16"), (True, "openvino-float32")])
def test_a_network_that_float32_alone_computes_is_left_to_it(tmp_path: Path, brittle: bool, chosen: str) -> None:
    root = tmp_path / "network"
    root.mkdir()
    save_network(graph_path(root, "article_encoder"), brittle=brittle)
    files = digests_of_graphs(root, ("article_encoder",))
    sizes = Sizes(article=(64, 48))
    write_package(root, ModelPackage(method="network", kind="features", sizes=sizes, dimension=WIDTH, files=files))
    assert PackageSession(root).precision == chosen


def test_the_names_say_runtime_and_format() -> None:
    assert RUNTIMES[-1] == "onnxruntime-float32", "what works everywhere comes last"
    assert all(name.rpartition("-")[2] in {"float16", "bfloat16", "tensorfloat32", "float32"} for name in RUNTIMES)
