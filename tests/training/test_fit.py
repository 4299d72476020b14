"""The loop: seeded, resumable, and quiet on disk."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from training.batches import Batches
from training.configs import Schedule
from training.context import Progress, TrainingContext
from training.fit import SELECTION, Learner, Pace, fit, has_stalled, rate_at
from training.plots import draw_curves

Workplace = Callable[..., TrainingContext]
SCHEDULE = Schedule(epochs=4, batch_size=4, learning_rate=0.05, head_learning_rate=0.05)
DATA = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))


class Line(Learner):
    """Learns a linear function through dropout; `figures` are its validation figures, epoch by epoch."""

    def __init__(self, schedule: Schedule, steps: int, figures: list[float] | None = None) -> None:
        super().__init__(schedule, steps)
        torch.manual_seed(1)
        self.layer = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1))
        self.figures = figures

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        return (self.layer(batch)[:, 0] - DATA[:, 0].mean()).square().mean(), {}

    def evaluate(self) -> dict[str, float]:
        return {SELECTION: self.figures[self.current_epoch]} if self.figures else {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "lr": self.schedule.learning_rate}]


def batches() -> Batches:
    def plan(rng: np.random.Generator) -> list[Any]:
        return np.split(rng.permutation(32), 8)

    return Batches(plan, lambda rows: DATA[rows] + 0.1 * torch.randn(len(rows), 3), seed=7)


class Killed(Exception):  # noqa: N818
    """The process ends here."""


def test_resuming_gives_what_an_uninterrupted_training_gives(workplace: Workplace) -> None:
    whole = Line(SCHEDULE, 32)
    curves = fit(whole, batches(), workplace("whole"), "line")

    def kill(progress: Progress) -> None:
        if progress.done == 21:
            raise Killed

    with pytest.raises(Killed):
        fit(Line(SCHEDULE, 32), batches(), workplace("cut", report=kill), "line")
    steps: list[int] = []
    resumed = Line(SCHEDULE, 32)
    again = fit(resumed, batches(), workplace("cut", report=lambda p: steps.append(p.done)), "line")
    assert min(steps) == 17, "two finished epochs of eight steps are not repeated"
    assert again == curves
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_training_that_moved_keeps_its_best_epoch(workplace: Workplace) -> None:
    figures = [0.1, 0.9, 0.2, 0.3]

    def kill(progress: Progress) -> None:
        if progress.done == 29:
            raise Killed

    with pytest.raises(Killed):
        fit(Line(SCHEDULE, 32, figures), batches(), workplace("here", report=kill), "line")
    there = workplace("there")
    shutil.rmtree(there.checkpoints, ignore_errors=True)
    workplace("here").checkpoints.rename(there.checkpoints)
    moved, whole = Line(SCHEDULE, 32, figures), Line(SCHEDULE, 32, figures)
    fit(moved, batches(), there, "line")
    fit(whole, batches(), workplace("whole"), "line")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, moved.state_dict()[name]), name


def test_a_resumed_training_logs_the_epochs_of_the_one_before(workplace: Workplace) -> None:
    def kill(progress: Progress) -> None:
        if progress.done == 21:
            raise Killed

    with pytest.raises(Killed):
        fit(Line(SCHEDULE, 32), batches(), workplace(report=kill), "line")
    logged: list[tuple[int, float]] = []
    context = workplace(log=lambda values, step: logged.append((step, values["train/loss"])))
    curves = fit(Line(SCHEDULE, 32), batches(), context, "line")
    assert logged == list(zip([8, 16, 24, 32], curves["train/loss"], strict=True))
    logged.clear()
    fit(Line(SCHEDULE, 32), batches(), context, "line")
    assert logged == list(zip([8, 16, 24, 32], curves["train/loss"], strict=True)), "nothing was left to learn"


def test_checkpoints_hold_nothing_but_tensors_and_numbers(workplace: Workplace) -> None:
    context = workplace()
    fit(Line(SCHEDULE, 32), batches(), context, "line")
    stored = sorted(context.checkpoints.iterdir())
    assert [path.name for path in stored] == ["best.ckpt", "last.ckpt"]
    for path in stored:
        assert "state_dict" in torch.load(path, weights_only=True)


def test_the_best_epoch_by_validation_is_kept(workplace: Workplace) -> None:
    best = Line(SCHEDULE, 32, figures=[0.1, 0.9, 0.2, 0.3])
    fit(best, batches(), workplace("best"), "line")
    last = Line(SCHEDULE, 32)
    fit(last, batches(), workplace("last"), "line")
    second = Line(SCHEDULE, 32)

    def stop(progress: Progress) -> None:
        if progress.done == 17:
            raise Killed

    with pytest.raises(Killed):
        fit(second, batches(), workplace("second", report=stop), "line")
    stored = torch.load(workplace("second").checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(best.layer[2].weight, stored["layer.2.weight"])  # type: ignore[arg-type]
    assert not torch.equal(best.layer[2].weight, last.layer[2].weight)  # type: ignore[arg-type]


def test_of_equally_good_epochs_the_last_is_kept(workplace: Workplace) -> None:
    equal, last = Line(SCHEDULE, 32, figures=[0.5, 1.0, 1.0, 1.0]), Line(SCHEDULE, 32)
    fit(equal, batches(), workplace("equal"), "line")
    fit(last, batches(), workplace("last"), "line")
    for name, tensor in last.state_dict().items():
        assert torch.equal(tensor, equal.state_dict()[name]), name


def test_nothing_is_written_outside_the_context(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    fit(Line(SCHEDULE, 32), batches(), workplace(), "line")
    assert list(elsewhere.iterdir()) == []


def test_an_epoch_is_logged_and_every_step_reported(workplace: Workplace) -> None:
    logged: list[int] = []
    reported: list[int] = []
    context = workplace(report=lambda p: reported.append(p.done), log=lambda _, step: logged.append(step))
    fit(Line(SCHEDULE, 32), batches(), context, "line")
    assert logged == [8, 16, 24, 32]
    assert set(reported) == set(range(1, 33))


def test_progress_says_the_throughput_and_the_time_left(workplace: Workplace) -> None:
    reported: list[Progress] = []
    fit(Line(SCHEDULE, 32), batches(), workplace(report=reported.append), "line")
    steps = [one for one in reported if one.pictures_per_s is not None]
    assert len(steps) == 32
    assert all(one.left_s is not None and (one.left_s > 0) == (one.done < 32) for one in reported)


def test_pace_counts_what_this_process_did() -> None:
    now = 0.0
    pace = Pace(total=100, clock=lambda: now)
    pace.start(done=40)
    now = 5.0
    pace.start_epoch()
    now = 7.0
    assert pace.pictures_per_s(8) == 4
    assert pace.pictures_per_s(8) == 8
    now = 10.0
    assert pace.left_s(done=60) == pytest.approx(20), "half a second a step, evaluations included"


@pytest.mark.parametrize(
    ("figures", "patience", "stalled"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.6], 1, False),
        ([0.1, 0.5, 0.4], 2, False),
        ([0.1, 0.5, 0.4, 0.3], 2, True),
        ([0.1, 0.5, 0.4, 0.5], 2, False),
        ([0.5, 0.4, 0.3, 0.2], None, False),
    ],
)
def test_a_training_stalls_after_its_patience(figures: list[float], patience: int | None, stalled: bool) -> None:
    assert has_stalled(figures, patience) == stalled


def test_it_stops_early_and_a_resumed_one_stops_there_too(workplace: Workplace) -> None:
    patient = dataclasses.replace(SCHEDULE, epochs=6, patience=2)
    figures = [0.1, 0.9, 0.2, 0.3, 1.0, 1.0]
    curves = fit(Line(patient, 48, figures), batches(), workplace(), "line")
    assert curves[SELECTION] == figures[:4]
    steps: list[int] = []
    resumed = fit(Line(patient, 48, figures), batches(), workplace(report=lambda p: steps.append(p.done)), "line")
    assert resumed == curves and steps == []


def test_without_validation_nothing_stops_early(workplace: Workplace) -> None:
    curves = fit(Line(dataclasses.replace(SCHEDULE, patience=1), 32), batches(), workplace(), "line")
    assert len(curves["train/loss"]) == 4


def test_every_part_of_the_loss_has_a_curve(workplace: Workplace) -> None:
    class Parts(Line):
        def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
            loss, _ = super().loss(batch)
            return loss, {"double": 2 * float(loss.detach())}

    context = workplace()
    curves = fit(Parts(SCHEDULE, 32), batches(), context, "line")
    assert curves["train/double"] == pytest.approx([2 * value for value in curves["train/loss"]])


def test_figures_that_belong_together_share_a_panel(tmp_path: Path) -> None:
    def size(names: Sequence[str]) -> tuple[int, int]:
        with Image.open(draw_curves({name: [1.0, 2.0] for name in names}, "", tmp_path)) as drawn:
            return drawn.size

    one = size(["val/map"])
    four = size([f"val/{letter}" for letter in "abcd"])
    assert size(["val/acc_1", "val/acc_5", "val/acc"]) == size(["train/loss", "train/contrast"]) == one
    assert four == (4 * one[0], one[1])
    assert size([f"val/{letter}" for letter in "abcde"]) == (four[0], 2 * one[1])


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_adams_weight_decay_is_part_of_the_gradient(optimizer: Literal["adamw", "adam"]) -> None:
    learner = Line(dataclasses.replace(SCHEDULE, optimizer=optimizer, weight_decay=0.5, warmup=0.0), 32)
    weight: Any = learner.layer[2].weight
    weight.data.fill_(1.0)
    found = learner.configure_optimizers()["optimizer"]
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter)
    found.step()
    expected = {"adamw": 1 - 0.05 * 0.5, "adam": 1 - 0.05}[optimizer]  # Adam's step is as long as the rate
    assert weight.flatten().tolist() == pytest.approx([expected] * 3, rel=1e-3)


def test_batches_differ_by_epoch_and_not_by_who_draws_random_numbers_meanwhile() -> None:
    one, other = batches(), batches()
    first = [batch.clone() for batch in one]
    for expected, found in zip(first, other, strict=True):
        assert torch.equal(expected, found)
        torch.rand(3)
    other.set_epoch(1)
    assert not torch.equal(next(iter(other)), first[0])


def test_the_rate_rises_then_falls() -> None:
    schedule = Schedule(epochs=1, batch_size=2, warmup=0.2)
    rates = [rate_at(step, 100, schedule) for step in range(100)]
    assert rates[:20] == sorted(rates[:20]) and rates[20] == pytest.approx(1)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    middle = 0.01 + 0.99 * (1 + math.cos(math.pi / 2)) / 2
    assert rates[60] == pytest.approx(middle)


def test_steps_fall_by_a_tenth_at_each_milestone() -> None:
    schedule = Schedule(epochs=1, batch_size=2, warmup=0, decay="step", milestones=(0.4, 0.7))
    assert [rate_at(step, 10, schedule) for step in (0, 3, 4, 6, 7, 9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_epochs_after_the_best_one_are_not_repeated(workplace: Workplace) -> None:
    figures = [0.9, 0.1, 0.2, 0.3]

    def kill(progress: Progress) -> None:
        if progress.done == 29:
            raise Killed

    with pytest.raises(Killed):
        fit(Line(SCHEDULE, 32, figures), batches(), workplace("cut", report=kill), "line")
    steps: list[int] = []
    resumed = Line(SCHEDULE, 32, figures)
    curves = fit(resumed, batches(), workplace("cut", report=lambda p: steps.append(p.done)), "line")
    assert min(steps) == 25 and curves[SELECTION] == figures
    whole = Line(SCHEDULE, 32, figures)
    fit(whole, batches(), workplace("whole"), "line")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
