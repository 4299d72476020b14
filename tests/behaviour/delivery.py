"""A delivery that sets everything in motion, and a process that works on it until it is killed at a given point.

It delivers into a workspace, accepts, and materialises; what is done already is not done again. It kills its whole
process group at the point; "none" lets it finish.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from contracts.batches import Kind
from orchestration.execution import materialize
from orchestration.intake import accept
from orchestration.sources.sample import deliver_sample
from serving.inference import PackageSession
from tests.behaviour.tiny import SAMPLE, TinyWorkspace
from training.fit import Learner

POINTS = ("import", "validation", "masks", "training", "embedding", "upsert", "publication")

_STAGES = {"import": "rendering photos", "masks": "masks", "training": "reid_baseline", "embedding": "articles"}
_KINDS: tuple[Kind, ...] = ("catalogue", "street")
BATCH = "two"
LOG = "work.log"
PICTURES = 8
"""In a batch."""


class Killer:
    """A reporter that ends its process group when a stage that `point` means is half done."""

    def __init__(self, point: str) -> None:
        self._stage = _STAGES.get(point)

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if self._stage is not None and self._stage in stage and done >= total // 2:
            die()


def die(*given: Any, **named: Any) -> NoReturn:
    """End the process group, as a power cut would."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
    raise AssertionError("the process is still there")


def work(root: Path, point: str) -> None:
    """Bring the delivery from wherever it is to its end, or to `point`."""
    workspace, reporter = TinyWorkspace(root), Killer(point)
    places = workspace.places
    with pytest.MonkeyPatch.context() as patch:
        note_work(root, patch)
        if point == "validation":
            patch.setattr("orchestration.intake.validate_batch", die)
        elif point == "upsert":
            patch.setattr("serving.index.edge.write_sidecar", die)
        elif point == "publication":
            patch.setattr("mlflow.tracking.MlflowClient.set_registered_model_alias", die)
            patch.setattr("mlflow.tracking.MlflowClient.set_model_version_tag", die)
        if not all(places.accepted(kind, BATCH).exists() for kind in _KINDS):
            into = [places.delivered(kind, BATCH) for kind in _KINDS]
            deliver_sample(*into, progress=reporter, seed=0, size=SAMPLE, first=SAMPLE.garments, workers=1)
        for kind in _KINDS:
            if places.delivered(kind, BATCH).exists():
                accept(places, kind, BATCH, "a steward", reporter)
        done = materialize(workspace, reporter)
    assert not done.failed, done.failed


def note_work(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Let each step of a training and each batch of pictures be noted in `root`, and let batches be small."""
    patch.setattr("orchestration.features.CHUNK", PICTURES)
    patch.setattr("orchestration.masking._CHUNK", PICTURES)

    def noted(owner: type, method: str, count: Callable[..., int]) -> None:
        real = getattr(owner, method)

        def run(self: Any, *given: Any, **named: Any) -> Any:
            with (root / LOG).open("a") as log:
                log.write(f"{type(self).__name__}.{method} {count(*given)}\n")
            return real(self, *given, **named)

        patch.setattr(owner, method, run)

    for method in ("segment", "encode_photos", "article_features"):
        noted(PackageSession, method, lambda pictures, *_: len(pictures))
    noted(Learner, "training_step", lambda *_: 1)


def noted_work(root: Path) -> Counter[str]:
    """The pictures, by method of a session, and the steps, by learner, that all processes have done."""
    done: Counter[str] = Counter()
    for line in (root / LOG).read_text().splitlines():
        what, count = line.split()
        done[what] += int(count)
    return done


def work_apart(root: Path, point: str) -> None:
    """The same as a process group of its own."""
    os.setsid()
    work(root, point)
