"""A delivery that sets everything in motion, and how whoever works on it is killed at given points.

Each point kills once: the whole process group, with SIGKILL, in the middle of that work.
"""

from __future__ import annotations

import functools
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
import pytest

from orchestration import trainings
from orchestration.execution import materialize
from orchestration.intake import accept
from orchestration.sources.sample import deliver_sample
from serving.inference import PackageSession
from tests.behaviour.tiny import SAMPLE, TinyWorkspace

BATCH = "two"
LOG, KILLED = "work.log", "killed.log"
PICTURES = 8
"""In a batch."""

_FUNCTIONS = {
    "validation": "orchestration.intake.known_data",
    "upsert": "serving.index.edge.write_sidecar",
    "publication": "serving.registry.MlflowRegistry.publish",
}
"""Killed where these would be called: all before them is done, and what they do is not."""

_HALFWAY: dict[str, tuple[str, Callable[[Any, int], bool]]] = {
    "masks": ("PackageSession.segment", lambda _, calls: calls == 2),
    "embedding": ("PackageSession.article_features", lambda _, calls: calls == 2),
    "training": ("ReidLearner.training_step", lambda learner, _: learner.global_step == 3 * learner.steps // 4),
}
"""Killed at the call of a method that this holds for: the second batch of pictures, the second of two epochs."""

POINTS = (*_FUNCTIONS, *_HALFWAY)


def deliver(workspace: TinyWorkspace) -> None:
    """Put photos of new garments into `incoming/`; the garments are accepted, and have their sides.

    Sides are for ever, and depend on what is there when they are given: garments and photos that are delivered
    together may come to be seen together, or one after the other.
    """
    places = workspace.places
    into = places.delivered("catalogue", BATCH), places.delivered("street", BATCH)
    deliver_sample(*into, seed=0, size=SAMPLE, first=SAMPLE.garments, workers=1)
    accept(places, "catalogue", BATCH, "a steward")
    materialize(workspace, assets={dg.AssetKey("catalogue"), dg.AssetKey("splits")})


def killed_at(root: Path) -> list[str]:
    """The points that have killed somebody who worked in the workspace `root`."""
    log = root / KILLED
    return log.read_text().split() if log.exists() else []


def note_work(root: Path, patch: pytest.MonkeyPatch, *, deadly: bool = False) -> None:
    """Let each step of a training and each batch of pictures be noted in `root`, and let batches be small.

    If `deadly`, the first point that is reached and has killed nobody yet kills this process and its group.
    """
    patch.setattr("orchestration.features.CHUNK", PICTURES)
    patch.setattr("orchestration.masking._CHUNK", PICTURES)
    left = set(POINTS) - set(killed_at(root)) if deadly else set()

    def die(point: str) -> NoReturn:
        with (root / KILLED).open("a") as log:
            log.write(f"{point}\n")
        os.killpg(os.getpgrp(), signal.SIGKILL)
        raise AssertionError("the process is still there")

    def noted(owner: type, method: str, count: Callable[..., int]) -> None:
        real, calls = getattr(owner, method), Counter[str]()

        def run(self: Any, *given: Any, **named: Any) -> Any:
            what = f"{type(self).__name__}.{method}"
            calls[what] += 1
            for point in left & _HALFWAY.keys():
                if _HALFWAY[point][0] == what and _HALFWAY[point][1](self, calls[what]):
                    die(point)
            with (root / LOG).open("a") as log:
                log.write(f"{what} {count(*given)}\n")
            return real(self, *given, **named)

        patch.setattr(owner, method, run)

    @functools.cache
    def note_trainings() -> None:
        from training.fit import Learner

        noted(Learner, "training_step", lambda *_: 1)

    def train(*given: Any, _train: Callable[..., Any] = trainings._train) -> Any:
        note_trainings()  # only who trains loads torch
        return _train(*given)

    for method in ("segment", "encode_photos", "article_features"):
        noted(PackageSession, method, lambda pictures, *_: len(pictures))
    patch.setattr(trainings, "_train", train)
    for point in left & _FUNCTIONS.keys():
        patch.setattr(_FUNCTIONS[point], lambda *_given, _point=point, **_named: die(_point))


def noted_work(root: Path) -> Counter[str]:
    """The pictures, by method of a session, and the steps, by learner, that all processes have done."""
    done: Counter[str] = Counter()
    for line in (root / LOG).read_text().splitlines():
        what, count = line.split()
        done[what] += int(count)
    return done
