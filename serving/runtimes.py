"""Runtimes for ONNX graphs: OpenVINO and ONNX Runtime, on the processor or on a GPU."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, LifoQueue
from types import ModuleType
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ThreadlineError
from contracts.quiet import nothing_phones_home
from serving.crowd import Crowd
from serving.openvino_float32 import kept_in_float32

Runtime = Literal[
    "tensorrt-float16",
    "cuda-tensorfloat32",
    "openvino-gpu-float16",
    "openvino-bfloat16",
    "openvino-float32",
    "onnxruntime-float32",
]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

AUTOMATIC = RUNTIMES[1:]
"""In the order in which they are tried, fastest first. TensorRT has to be asked for: it builds engines for minutes."""

EXACT: tuple[Runtime, ...] = ("openvino-float32", "onnxruntime-float32")
"""Those that compute in float32; the others have to prove equal."""

_REDUCED: dict[Runtime, tuple[str, str]] = {
    "openvino-gpu-float16": ("GPU", "f16"),
    "openvino-bfloat16": ("CPU", "bf16"),
}
"""OpenVINO's names of devices and number formats."""

_PROVIDERS: dict[Runtime, tuple[str, dict[str, str]]] = {
    "tensorrt-float16": ("TensorrtExecutionProvider", {"trt_fp16_enable": "1"}),
    "cuda-tensorfloat32": ("CUDAExecutionProvider", {"use_tf32": "1", "cudnn_conv_algo_search": "HEURISTIC"}),
}
"""ONNX Runtime's names and options of what computes on a GPU."""

Part = Literal["nothing", "half", "quarter", "everything"]
"""What of a graph stays in float32: no layers, those down to maps with half or a quarter of a picture's sides, all."""

_HALVINGS: dict[Part, int] = {"half": 1, "quarter": 2}

_PRECISION, _THREADS = "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS"
_SOON = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
_MANY = {"PERFORMANCE_HINT": "THROUGHPUT"}
"""What OpenVINO is told: to answer one request soon, with every thread, or many in all, which share the threads out."""

Runner = Callable[..., NDArray[np.float32]]
"""A loaded graph: its inputs in order, batch first, to its only output. Safe to call from several threads."""


class Engine(Protocol):
    """Loads graphs for one runtime."""

    name: Runtime
    identity: str | None
    """The same wherever the same figures come out; None where that cannot be told."""

    parts: tuple[Part, ...]
    """What of a graph it can keep in float32 on its own device, least first."""

    def load(self, path: Path, in_float32: Part = "nothing") -> Runner:
        """The graph at `path`, ready to run; "everything" asks for float32 on the processor, whatever the engine is.

        Raises ThreadlineError when what the engine needs is there and does not work.
        """
        ...

    def prepare_for_many(self) -> None:
        """Make what the loaded graphs need to compute fast side by side; takes as long as loading them did."""
        ...


def engine(runtime: Runtime, threads: int | None = None) -> Engine:
    """The engine of `runtime`, on `threads` threads (None: as many as the runtime finds fit).

    Raises ThreadlineError when the runtime is not installed, or the machine has not what it needs.
    """
    if runtime in _PROVIDERS:
        return OnnxGpuEngine(runtime)
    if runtime == "onnxruntime-float32":
        return OnnxRuntimeEngine(threads)
    if importlib.util.find_spec("openvino") is None:
        raise ThreadlineError("OpenVINO is not installed", "install the extra 'serving'")
    return OpenVinoEngine(runtime, threads)


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, float32."""

    name: Runtime = "onnxruntime-float32"
    identity: str | None = None
    parts: tuple[Part, ...] = ("nothing",)

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def load(self, path: Path, in_float32: Part = "nothing") -> Runner:
        """The graph at `path`; it is always float32."""
        return _runner(_session(path, [("CPUExecutionProvider", {})], self._threads))

    def prepare_for_many(self) -> None:
        """Nothing: a graph computes in one way."""


class OnnxGpuEngine:
    """ONNX Runtime on an NVIDIA GPU, through CUDA or TensorRT, in less than float32."""

    identity: str | None = None
    parts: tuple[Part, ...] = ("nothing",)

    def __init__(self, runtime: Runtime) -> None:
        self.name: Runtime = runtime
        self._provider, self._options = _PROVIDERS[runtime]
        if self._provider not in _onnxruntime().get_available_providers():
            remedy = "install onnxruntime-gpu in place of onnxruntime, or choose another runtime"
            raise ThreadlineError(f"this ONNX Runtime has no {self._provider}", remedy)

    def load(self, path: Path, in_float32: Part = "nothing") -> Runner:
        """The graph at `path`. ONNX Runtime would quietly go on without a GPU that it cannot use: that is an error."""
        if in_float32 == "everything":
            return OnnxRuntimeEngine().load(path)
        remedy = "check the GPU's driver and libraries, or choose another runtime"
        try:
            session = _session(path, [(self._provider, self._options), ("CPUExecutionProvider", {})])
        except Exception as error:  # ONNX Runtime's own have no base in common
            raise ThreadlineError(f"ONNX Runtime cannot use its {self._provider}: {error}", remedy) from error
        if self._provider not in session.get_providers():
            raise ThreadlineError(f"ONNX Runtime cannot use its {self._provider} here", remedy)
        return _runner(session)

    def prepare_for_many(self) -> None:
        """Nothing: a graph computes in one way."""


class OpenVinoEngine:
    """OpenVINO, on the CPU or an Intel GPU.

    A graph that runs alone has every thread, so that its photo is answered soon. On the CPU, where no number of threads
    is asked for, graphs that run at the same time share them out: less is lost to threads that wait for each other.
    """

    def __init__(self, runtime: Runtime, threads: int | None = None) -> None:
        self.name: Runtime = runtime
        self._threads = threads
        self._crowd = Crowd()
        openvino = _openvino()
        self._core = openvino.Core()
        device, self._precision = _REDUCED.get(runtime, ("CPU", "f32"))
        if self._precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ThreadlineError("this processor has no bfloat16", "choose the runtime openvino-float32")
        # With several GPUs they are called GPU.0, GPU.1; "GPU" is the first of them.
        if device == "GPU" and not any(one.startswith("GPU") for one in self._core.available_devices):
            raise ThreadlineError("OpenVINO finds no GPU", "install the GPU's driver, or choose another runtime")
        self._device = device
        self.identity: str | None = None
        self.parts: tuple[Part, ...] = ("nothing",)
        if self._precision == "bf16":
            processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
            self.identity = f"{runtime}, OpenVINO {openvino.__version__}, {processor}"
            self.parts = ("nothing", "half", "quarter")

    def load(self, path: Path, in_float32: Part = "nothing") -> Runner:
        """The graph at `path`, with a pool of requests so that threads do not wait for each other's memory."""
        exact = in_float32 == "everything"
        device, precision = ("CPU", "f32") if exact else (self._device, self._precision)
        model = self._core.read_model(path)
        if precision == "bf16" and in_float32 in _HALVINGS:
            model = kept_in_float32(model, self._core, _HALVINGS[in_float32])

        def runner(hints: Mapping[str, Any]) -> Runner:
            return _pooled(self._core.compile_model(model, device, {_PRECISION: precision, **hints}))

        if device != "CPU" or self._threads is not None:
            return runner(_SOON | ({_THREADS: self._threads} if device == "CPU" else {}))
        return self._crowd.computation(runner(_SOON), lambda: runner(_MANY))

    def prepare_for_many(self) -> None:
        """Compile the graphs once more, for what runs beside others; until then that runs as if alone."""
        self._crowd.prepare()


def _pooled(compiled: Any) -> Runner:
    """A compiled model of OpenVINO that several threads may run."""
    idle: LifoQueue[Any] = LifoQueue()

    def run(*inputs: NDArray[Any]) -> NDArray[np.float32]:
        try:
            request = idle.get_nowait()
        except Empty:
            request = compiled.create_infer_request()
        try:
            request.infer([np.ascontiguousarray(each) for each in inputs], share_inputs=True)
            return np.array(request.get_output_tensor(0).data, dtype=np.float32)
        finally:
            idle.put(request)

    return run


def _session(path: Path, providers: list[tuple[str, dict[str, str]]], threads: int | None = None) -> Any:
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=providers)


def _runner(session: Any) -> Runner:
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, dict(zip(names, inputs, strict=True)))[0], dtype=np.float32)

    return run


def _onnxruntime() -> ModuleType:
    """ONNX Runtime, imported without its telemetry, which an import would start and nothing could stop afterwards."""
    nothing_phones_home()
    return importlib.import_module("onnxruntime")


def _openvino() -> ModuleType:
    """OpenVINO, imported without its telemetry."""
    nothing_phones_home()
    return importlib.import_module("openvino")
