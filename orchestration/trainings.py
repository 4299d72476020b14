"""Running a training: once for the same inputs and configuration, tracked, and kept as a package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from contracts.files import digest_of, new_directory, write_json
from contracts.model_package import Provenance, read_package
from orchestration.code_versions import code_version
from orchestration.home import Home
from orchestration.progress import Reporter

_DECODING = ("contracts.images", "contracts.masks", "training.pictures")


@dataclass(frozen=True)
class Outcome:
    """What became of a training: the package with this digest, or the reason why there is none."""

    digest: str | None
    reason: str
    metrics: dict[str, float]
    run_id: str
    version: str

    @property
    def data_version(self) -> str:
        """The model's data version: what the package does, or that there is none."""
        return self.digest[:32] if self.digest else "none"


@dataclass(frozen=True)
class Job:
    """A training to run. `train` is called with a `training.context.TrainingContext`."""

    name: str
    train: Callable[[Any], Any]
    config: Any
    inputs: dict[str, str]
    code_version: str
    data_version: str

    @property
    def key(self) -> str:
        """Inputs, configuration and code as a digest: the identity of the training and of its checkpoints."""
        return digest_of([self.name, plain(self.config), self.inputs, self.code_version])


def plain(config: Any) -> dict[str, Any]:
    """A configuration as JSON-able values."""
    values = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config.model_dump()
    return dict(json.loads(json.dumps(values, default=str)))


def read_outcome(home: Home, name: str) -> Outcome:
    """The present outcome of the training `name`."""
    return Outcome(**json.loads(home.derived(f"model-{name}").read_text(encoding="utf-8")))


def run_training(job: Job, home: Home, report: Reporter) -> Outcome:
    """Train, export, track and register; or take what the same training gave before.

    Resumes from checkpoints when an earlier attempt was cut short. A training set that is too small is an outcome,
    not an error: the package is then absent.
    """
    record = home.training(job.key)
    if record.exists():
        outcome = Outcome(**json.loads(record.read_text(encoding="utf-8")))
    else:
        outcome = _train(job, home, report)
        write_json(record, vars(outcome))
    shutil.rmtree(home.checkpoints(job.key), ignore_errors=True)  # only now: the tracking server may have been away
    write_json(home.derived(f"model-{job.name}"), vars(outcome))
    return outcome


def decoded_pictures(home: Home) -> Path:
    """Where pictures of training size are kept; those that other code decoded are taken away."""
    place = home.pictures / code_version(_DECODING)
    for old in home.pictures.glob("*"):
        if old != place:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    place.mkdir(parents=True, exist_ok=True)
    return place


def _train(job: Job, home: Home, report: Reporter) -> Outcome:
    # torch is imported here and nowhere else in the graph's steps that do not train
    from training.allocation import release_freed_memory
    from training.context import Progress, TrainingContext
    from training.sets import NotEnoughData

    curves: list[tuple[int, dict[str, float]]] = []

    def show(progress: Progress) -> None:
        note = "  ".join(f"{key} {value:.3f}" for key, value in progress.values.items())
        if progress.pictures_per_s is not None and progress.left_s is not None:
            note += f"  {progress.pictures_per_s:.0f} pictures/s  {progress.left_s / 60:.0f} min left"
        report(f"{job.name}: {progress.stage}", progress.done, progress.total, note)

    def log(values: dict[str, float], step: int) -> None:
        curves.append((step, values))

    out, checkpoints, plots = home.package(f"new-{job.name}"), home.checkpoints(job.key), home.plots(job.name)
    provenance = Provenance(
        data_version=job.data_version, inputs=job.inputs, code_version=job.code_version, config=plain(job.config)
    )
    for directory in (checkpoints, plots):
        directory.mkdir(parents=True, exist_ok=True)
    try:
        with new_directory(out) as fresh:
            context = TrainingContext(
                out=fresh,
                checkpoints=checkpoints,
                pictures=decoded_pictures(home),
                plots=plots,
                report=show,
                log=log,
                provenance=provenance,
            )
            trained = job.train(context)
    except NotEnoughData as shortage:
        return Outcome(None, str(shortage), {}, "", "")
    finally:
        release_freed_memory()
    logged = _track(job, home, keep_package(home, out), curves, trained.plots)
    return Outcome(trained.package.digest, "", trained.metrics, logged.run_id, logged.version)


def keep_package(home: Home, package: Path) -> Path:
    """Move a finished package to its place by digest; one that is there already stays."""
    place = home.package(read_package(package, verify=True).digest)
    if not place.exists():
        package.rename(place)
    return place


def _track(
    job: Job,
    home: Home,
    package: Path,
    curves: list[tuple[int, dict[str, float]]],
    plots: tuple[Path, ...],
) -> Any:
    from orchestration.tracking import log_training

    return log_training(
        tracking_uri=home.tracking_uri,
        artifact_root=home.artifacts,
        experiment="threadline",
        name=job.name,
        package_root=package,
        params=plain(job.config),
        curves=curves,
        plots=plots,
        tags={"data_version": job.data_version, "code_version": job.code_version},
    )
