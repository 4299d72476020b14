"""What a training leaves on the tracking server: one run, and the package as a registered model."""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import ThreadlineError
from contracts.images import encode_jpeg
from contracts.model_package import ModelPackage, read_package, write_package
from contracts.registry import K_RECIPROCAL_GAIN, SERVING_MODEL
from orchestration.moving import settle_artifacts
from serving.registry import MlflowRegistry, open_client, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric
    from mlflow.models import ModelSignature
    from mlflow.tracking import MlflowClient

Curve = Sequence[tuple[int, Mapping[str, float]]]
"""Metrics by step: (step, {name: value})."""

_BATCH = 500
_LONGEST_PARAMETER = 6000
_EXAMPLE = encode_jpeg(np.full((32, 32, 3), 255, dtype=np.uint8))


@dataclass(frozen=True)
class LoggedRun:
    """A training as the tracking server knows it: the run, and the registered version of its package."""

    run_id: str
    version: str


def log_training(
    tracking_uri: str,
    artifact_root: str | None,
    experiment: str,
    name: str,
    package_root: Path,
    params: Mapping[str, Any],
    curves: Curve,
    plots: Sequence[Path],
    tags: Mapping[str, str],
    *,
    imported: bool = False,
) -> LoggedRun:
    """Log one training and register its package as a version of the model `name`.

    `artifact_root` is where a new experiment keeps its files (None: where the server says); `tags` go onto run and
    version (`data_version`, `code_version`). A package that is registered already is not logged again. The package
    then says which run it is from, unless it was `imported`: that one keeps the provenance that it came with.
    """
    package = read_package(package_root)
    known = _registered(tracking_uri, name, package.digest)
    if known is not None:
        return known
    client = _client(tracking_uri)
    run = client.create_run(_experiment(client, experiment, artifact_root), run_name=name, tags=dict(tags))
    run_id = run.info.run_id
    try:
        if not imported:
            provenance = package.provenance.model_copy(update={"mlflow_run": run_id})
            write_package(package_root, package.model_copy(update={"provenance": provenance}))
        _log_values(client, run_id, params, curves, package.metrics)
        for plot in plots:
            client.log_artifact(run_id, str(plot), "plots")
        model = _log_package(client, run_id, run.info.experiment_id, name, package_root, package)
        version = _register(client, name, model, run_id, _version_tags(package, tags))
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return LoggedRun(run_id, version)


def register_serving(tracking_uri: str, name: str, version: str) -> str:
    """The version of the serving model that holds the package of `name`, `version`; made when there is none yet.

    Raises ThreadlineError when the package is not registered under its own name.
    """
    found = [one for one in MlflowRegistry(tracking_uri).versions(name) if one.version == version]
    if not found:
        raise ThreadlineError(f"{name} has no version {version}", "train or import the package first")
    known = _registered(tracking_uri, SERVING_MODEL, found[0].digest)
    if known is not None:
        return known.version
    client = _client(tracking_uri)
    _ensure_model(client, SERVING_MODEL)
    tags = {key: value for key, value in found[0].tags.items() if key != "collection"}
    made = client.create_model_version(SERVING_MODEL, f"models:/{name}/{version}", found[0].run_id, tags)
    return str(made.version)


def record_gain(tracking_uri: str, method: str, digest: str, gain: float) -> None:
    """Say on every registered version of the package what k-reciprocal re-ranking surely adds to it.

    A tag, because a package is what its training left, and this is measured later, and anew with other queries.
    """
    registry, written = MlflowRegistry(tracking_uri), f"{gain:.4f}"
    for model in (method, SERVING_MODEL):
        for version in registry.versions(model):
            if version.digest == digest and version.tags.get(K_RECIPROCAL_GAIN) != written:
                _client(tracking_uri).set_model_version_tag(model, version.version, K_RECIPROCAL_GAIN, written)


def _client(tracking_uri: str) -> MlflowClient:
    file = sqlite_file(tracking_uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        settle_artifacts(file)
    return open_client(tracking_uri)


def _registered(tracking_uri: str, name: str, digest: str) -> LoggedRun | None:
    for one in MlflowRegistry(tracking_uri).versions(name):
        if one.digest == digest:
            return LoggedRun(one.run_id, one.version)
    return None


def _experiment(client: MlflowClient, name: str, artifact_root: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_root))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None:
        raise ThreadlineError(f"the experiment '{name}' was deleted", "restore it in MLflow, or remove it for good")
    return str(found.experiment_id)


def _log_values(
    client: MlflowClient, run_id: str, params: Mapping[str, Any], curves: Curve, final: Mapping[str, float]
) -> None:
    from mlflow.entities import Param

    written = [Param(accepted(key), _short(value)) for key, value in sorted(params.items())]
    for start in range(0, len(written), 100):
        client.log_batch(run_id, params=written[start : start + 100])
    last = max((step for step, _ in curves), default=0)
    metrics = list(_metrics([*curves, (last, final)]))
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _metrics(curves: Curve) -> Iterator[Metric]:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    for step, values in curves:
        for key, value in values.items():
            if math.isfinite(value):
                yield Metric(accepted(key), float(value), now_ms, step)


def accepted(name: str) -> str:
    """`name` as MLflow takes it, in its characters and as a path: `recall@10` becomes `recall_at_10`."""
    parts = re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_")).split("/")
    return "/".join(part for part in parts if part.strip(".")) or "_"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text[:_LONGEST_PARAMETER]


def _log_package(
    client: MlflowClient, run_id: str, experiment_id: str, name: str, package_root: Path, package: ModelPackage
) -> LoggedModel:
    """Log the package as a pyfunc model of the run, without MLflow's global settings and without pickle."""
    import mlflow.pyfunc
    import pandas
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    model = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, tags={"digest": package.digest})
    with tempfile.TemporaryDirectory(prefix="threadline-model-") as folder:
        local = Path(folder) / "model"
        mlflow.pyfunc.save_model(
            path=str(local),
            loader_module="serving.pyfunc",
            data_path=str(package_root),
            mlflow_model=Model(run_id=run_id, model_uuid=model.model_id, model_id=model.model_id),
            signature=_signature(package),
            input_example=pandas.DataFrame({"image": [_EXAMPLE]}),
            pip_requirements=[f"threadline[serving]=={installed_version('threadline')}"],
        )
        client.log_model_artifacts(model.model_id, str(local))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.get_logged_model(model.model_id)


def _signature(package: ModelPackage) -> ModelSignature:
    """Encoded pictures in; what `serving.pyfunc` gives for this kind of package out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    pictures = Schema([ColSpec(DataType.binary, "image")])
    if package.kind == "segmenter":
        return ModelSignature(pictures, Schema([ColSpec(DataType.binary, "mask")]))
    return ModelSignature(pictures, Schema([TensorSpec(np.dtype(np.float32), (-1, package.dimension))]))


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _register(client: MlflowClient, name: str, model: LoggedModel, run_id: str, tags: dict[str, str]) -> str:
    _ensure_model(client, name)
    made = client.create_model_version(
        name, source=model.artifact_location, run_id=run_id, tags=tags, model_id=model.model_id
    )
    return str(made.version)


def _version_tags(package: ModelPackage, tags: Mapping[str, str]) -> dict[str, str]:
    provenance = package.provenance
    own = {"data_version": provenance.data_version, "code_version": provenance.code_version}
    return {**own, **tags, "digest": package.digest, "method": package.method}
