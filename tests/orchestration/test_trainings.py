"""What a training leaves when something behind it fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contracts.files import write_text
from contracts.model_package import read_package
from orchestration import trainings
from orchestration.configuration import TEMPLATE
from orchestration.home import Home
from orchestration.resources import Workspace
from orchestration.silence import silent
from orchestration.trainings import Job, decoded_pictures, run_training
from tests.serving.fixtures import empty_registry, shop
from tests.serving.shop import Shop
from tests.training.test_fit import SCHEDULE, Line, batches
from training.context import Progress, Trained, TrainingContext
from training.fit import fit

__all__ = ["empty_registry", "shop"]


def test_nothing_is_learnt_again_after_the_tracking_server_was_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.root / ".threadline").symlink_to(shop.settings.home)
    write_text(shop.root / "threadline.toml", TEMPLATE.format(preset="demo"))
    home, package, steps = Workspace(shop.root).home, shop.package(1), list[int]()

    def train(context: TrainingContext) -> Trained:
        def note(progress: Progress) -> None:
            steps.append(progress.done)

        seen = TrainingContext(**{**vars(context), "report": note})
        fit(Line(SCHEDULE, 32), batches(), seen, "line")
        shutil.copytree(package, context.out, dirs_exist_ok=True)
        return Trained(read_package(context.out), {}, ())

    def away(*_: Any) -> None:
        raise OSError("connection refused")

    job = Job("reid_baseline", train, SCHEDULE, {}, "code", "data")
    with monkeypatch.context() as patch:
        patch.setattr(trainings, "_track", away)
        with pytest.raises(OSError, match="refused"):
            run_training(job, home, silent)
    assert max(steps) == 32
    steps.clear()
    outcome = run_training(job, home, silent)
    assert outcome.digest == read_package(package).digest and outcome.version == "1"
    assert steps == []
    assert not home.checkpoints(job.key).exists()


def test_pictures_that_other_code_decoded_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / ".threadline")
    before = decoded_pictures(home)
    (before / "plain-4x3.records").touch()
    assert decoded_pictures(home) == before and list(before.iterdir())
    monkeypatch.setattr(trainings, "code_version", lambda modules: "another")
    after = decoded_pictures(home)
    assert after != before and [*home.pictures.iterdir()] == [after] and not [*after.iterdir()]
