"""Runtimes for ONNX graphs: OpenVINO in bfloat16 or float32, and ONNX Runtime in float32."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Empty, LifoQueue
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ThreadlineError

Runtime = Literal["openvino-bfloat16", "openvino-float32", "onnxruntime-float32"]
RUNTIMES: tuple[Runtime, ...] = ("openvino-bfloat16", "openvino-float32", "onnxruntime-float32")

Runner = Callable[..., NDArray[np.float32]]
"""A loaded graph: its inputs in order, batch first, to its only output. Safe to call from several threads."""


class Engine(Protocol):
    """Loads graphs for one runtime."""

    name: Runtime

    def load(self, path: Path, *, exact: bool = False) -> Runner:
        """The graph at `path`, ready to run; `exact` asks for float32 whatever the engine's precision."""
        ...


def engine(runtime: Runtime, threads: int | None = None) -> Engine:
    """The engine of `runtime`, on `threads` threads (None: as many as the runtime finds fit).

    Raises ThreadlineError when the runtime is not installed or the processor has no bfloat16.
    """
    if runtime == "onnxruntime-float32":
        return OnnxRuntimeEngine(threads)
    if importlib.util.find_spec("openvino") is None:
        raise ThreadlineError("OpenVINO is not installed", "install the extra 'serving'")
    return OpenVinoEngine(runtime, threads)


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, float32."""

    name: Runtime = "onnxruntime-float32"

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def load(self, path: Path, *, exact: bool = False) -> Runner:
        """The graph at `path`; it is always float32."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]

        def run(*inputs: NDArray[Any]) -> NDArray[np.float32]:
            return np.asarray(session.run(None, dict(zip(names, inputs, strict=True)))[0], dtype=np.float32)

        return run


class OpenVinoEngine:
    """OpenVINO on the CPU: one stream, because a photo should be answered soon, not many photos at once."""

    def __init__(self, runtime: Runtime, threads: int | None = None) -> None:
        self.name: Runtime = runtime
        self._threads = threads
        self._core = _openvino().Core()
        if runtime == "openvino-bfloat16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ThreadlineError("this processor has no bfloat16", "choose the runtime openvino-float32")

    def load(self, path: Path, *, exact: bool = False) -> Runner:
        """The graph at `path`, with a pool of requests so that threads do not wait for each other's memory."""
        half = self.name == "openvino-bfloat16" and not exact
        hints: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        }
        if self._threads is not None:
            hints["INFERENCE_NUM_THREADS"] = self._threads
        compiled = self._core.compile_model(self._core.read_model(path), "CPU", hints)
        idle: LifoQueue[Any] = LifoQueue()

        def run(*inputs: NDArray[Any]) -> NDArray[np.float32]:
            try:
                request = idle.get_nowait()
            except Empty:
                request = compiled.create_infer_request()
            try:
                result = request.infer([np.ascontiguousarray(each) for each in inputs], share_inputs=True)
                return np.array(result[0], dtype=np.float32)
            finally:
                idle.put(request)

        return run


def _openvino() -> ModuleType:
    """OpenVINO, imported without its telemetry.

    `import openvino` reports the import over the network unless the user has opted out. It falls back to a stub
    where the telemetry package cannot be imported, which a None in `sys.modules` says.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")
