"""Where a training works and to whom it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contracts.model_package import ModelPackage, Provenance


@dataclass(frozen=True)
class Progress:
    """How far a stage has come: `done` of `total`, with the latest figures.

    Where a network learns, `pictures_per_s` is its throughput in the present epoch, and `left_s` the seconds to the
    end of the schedule at the speed so far, evaluations included.
    """

    stage: str
    done: int
    total: int
    values: dict[str, float]
    pictures_per_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class TrainingContext:
    """The folders of one training and its listeners.

    `out` is an existing empty folder that becomes the package. `checkpoints` is private to the training's inputs and
    configuration: a training resumes from what it holds; who keeps the package empties it. `pictures` is
    the picture store that all trainings share. `plots` takes PNGs. `log` receives figures at a step.
    """

    out: Path
    checkpoints: Path
    pictures: Path
    plots: Path
    report: Callable[[Progress], None]
    log: Callable[[dict[str, float], int], None]
    provenance: Provenance


@dataclass(frozen=True)
class Trained:
    """What a training hands back: the package in `context.out`, its figures and the PNGs it drew."""

    package: ModelPackage
    metrics: dict[str, float]
    plots: tuple[Path, ...]
