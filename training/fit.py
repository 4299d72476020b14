"""The training loop: Lightning with seeded batches, a checkpoint an epoch, and resuming, on one device or several.

Nothing is written but checkpoints: no loggers, no folders of Lightning's own. A checkpoint is read with
`weights_only`, so that it can hold tensors and plain numbers and never code.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from training.allocation import keep_freed_memory, release_freed_memory
from training.backbones import Backbone
from training.batches import Batches
from training.configs import Schedule
from training.context import Progress, TrainingContext
from training.gathering import of_first_rank, ranks
from training.ranks import strategy, together

SELECTION = "selection"
"""What the best epoch is chosen by, as `Learner.evaluate` names it; higher is better."""

LAST = "last.ckpt"

Curves = dict[str, list[float]]
"""A figure an epoch, by name."""

ALL_THREADS = torch.get_num_threads()
"""The threads that torch takes where nobody says how many."""


class Learner(LightningModule):
    """A network that learns by `fit`. Subclasses give the loss of a batch and the figures of an epoch."""

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The scalar loss of `batch`, and figures to show."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Figures on the validation set, among them `selection` (higher is better); empty where there is none."""

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters as torch's optimisers take them."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.steps = steps

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One step of the optimiser."""
        loss, values = self.loss(batch)
        self.shown = {"loss": float(loss.detach()), **values}
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser and the learning rate's course, step by step."""
        kind = torch.optim.Adam if self.schedule.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(self.parameter_groups(), weight_decay=self.schedule.weight_decay)
        course = LambdaLR(optimizer, lambda step: rate_at(step, self.steps, self.schedule))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": course, "interval": "step"}}


class Pace:
    """How fast a training goes: pictures a second in this epoch, and the seconds left of `total` steps."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock

    def start(self, done: int) -> None:
        """Begin with so many steps `done` by an earlier process."""
        self._first, self._started_s = done, self._clock()

    def start_epoch(self) -> None:
        """Begin another epoch."""
        self._pictures, self._epoch_s = 0, self._clock()

    def pictures_per_s(self, more: int) -> float:
        """The throughput of this epoch, now that so many `more` pictures are learnt from."""
        self._pictures += more
        return self._pictures / max(self._clock() - self._epoch_s, 1e-6)

    def left_s(self, done: int) -> float:
        """The seconds to the end with so many steps `done`."""
        return (self._clock() - self._started_s) / max(1, done - self._first) * (self._total - done)


@dataclass(frozen=True)
class _Told:
    """Who is told how far the training is, and the figures at a step: rank 0's context, and nobody elsewhere."""

    report: Callable[[Progress], None] = lambda _: None
    log: Callable[[dict[str, float], int], None] = lambda _values, _step: None


class _Watch(Callback):
    """Seeds each epoch, evaluates after it, reports, stops early, and keeps the curves with the checkpoint."""

    def __init__(self, told: _Told, schedule: Schedule, total: int, stage: str) -> None:
        self._told, self._schedule, self._total, self._stage = told, schedule, total, stage
        self._shown: list[dict[str, float]] = []
        self._pace = Pace(total)
        self.curves: Curves = {}

    def on_train_start(self, trainer: Trainer, _: LightningModule) -> None:
        self._pace.start(trainer.global_step)
        trainer.should_stop = self._is_over()  # a training that was cut short after its last epoch

    def on_train_epoch_start(self, trainer: Trainer, _: LightningModule) -> None:
        torch.manual_seed(self._schedule.seed * 1000 + trainer.current_epoch)
        self._shown = []
        self._pace.start_epoch()

    def on_train_batch_end(self, trainer: Trainer, module: Any, _: Any, batch: Any, *__: Any) -> None:
        self._shown.append(module.shown)
        own = len(batch if isinstance(batch, Tensor) else batch[0])
        rate = self._pace.pictures_per_s(own * ranks())
        self._report(trainer, module.shown, rate)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        means = {f"train/{name}": float(np.mean([one[name] for one in self._shown])) for name in self._shown[0]}
        values = of_first_rank(lambda: {**means, **evaluated(module)})
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)
        module.log(SELECTION, torch.tensor(values.get(SELECTION, float(trainer.current_epoch)), dtype=torch.float32))
        self._told.log(values, trainer.global_step)
        self._report(trainer, values, None)
        trainer.should_stop = self._is_over()

    def _report(self, trainer: Trainer, values: dict[str, float], rate: float | None) -> None:
        done = trainer.global_step
        self._told.report(Progress(self._stage, done, self._total, values, rate, self._pace.left_s(done)))

    def _is_over(self) -> bool:
        return has_stalled(self.curves.get(SELECTION, []), self._schedule.patience)

    def state_dict(self) -> dict[str, Any]:
        return {"curves": self.curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the curves up again, and log them: the log of the process that saw them may have ended with it."""
        self.curves = state_dict["curves"]
        for epoch, figures in enumerate(zip(*self.curves.values(), strict=True), start=1):
            self._told.log(dict(zip(self.curves, figures, strict=True)), epoch * self._total // self._schedule.epochs)


def begin(schedule: Schedule) -> None:
    """Seed torch and set its threads, before anything is computed: sums depend on how many threads share them."""
    keep_freed_memory()
    torch.set_num_threads(schedule.threads or max(1, ALL_THREADS // schedule.devices))
    torch.manual_seed(schedule.seed)


def fit(learner: Learner, batches: Batches, context: TrainingContext, stage: str) -> Curves:
    """Train `learner` to the end of its schedule and give it the weights of its best epoch; the curves.

    Resumes from the last epoch that `context.checkpoints` holds. With several devices, `learner` and `batches` must be
    picklable. Raises ThreadlineError where there are fewer GPUs than devices.
    """
    context.checkpoints.mkdir(parents=True, exist_ok=True)
    told = _Told(context.report, context.log)
    start = str(context.checkpoints / LAST) if resumable(context) else None
    with together(
        learner.schedule.devices, partial(_follow, learner, batches, context.checkpoints, stage=stage, start=start)
    ):
        curves = _fit(learner, batches, context.checkpoints, told, stage=stage, start=start)
    release_freed_memory()  # what steps needed is too much for measuring
    chosen = torch.load(context.checkpoints / "best.ckpt", weights_only=True, map_location="cpu")
    learner.cpu().load_state_dict(chosen["state_dict"])
    learner.eval()
    return curves


def _follow(learner: Learner, batches: Batches, checkpoints: Path, *, stage: str, start: str | None) -> None:
    """What a rank other than 0 does."""
    begin(learner.schedule)
    _fit(learner, batches, checkpoints, _Told(), stage=stage, start=start)


def _fit(
    learner: Learner, batches: Batches, checkpoints: Path, told: _Told, *, stage: str, start: str | None
) -> Curves:
    """Train from the checkpoint `start`, or from the start, as one of the ranks there are; the curves."""
    schedule = learner.schedule
    for backbone in (part for part in learner.modules() if isinstance(part, Backbone)):
        backbone.shorten(learner.steps * schedule.batch_size)
    watch = _Watch(told, schedule, learner.steps, stage)
    # Two of them: one that keeps the best and the last writes the last only when it is the best.
    best = _checkpoint(checkpoints, "best", monitor=SELECTION, mode="max")
    last = _checkpoint(checkpoints, "last")
    with quiet():
        trainer = Trainer(
            max_epochs=schedule.epochs,
            accelerator="auto",
            devices=ranks(),
            strategy=strategy() if ranks() > 1 else "auto",
            precision="bf16-mixed" if schedule.precision == "bfloat16" else "32-true",
            accumulate_grad_batches=schedule.accumulate,
            use_distributed_sampler=False,
            callbacks=[watch, best, last],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            gradient_clip_val=5.0,
            default_root_dir=checkpoints,
        )
        try:
            trainer.fit(learner, batches, ckpt_path=start, weights_only=True)
        finally:
            batches.close()
    return watch.curves


class _Checkpoint(ModelCheckpoint):
    """One that knows its best also after the workspace has moved, where Lightning's own begins anew.

    Of epochs that are equally good it keeps the last: on a few validation photos the first may be perfect already.
    """

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        best = self.best_k_models.get(self.kth_best_model_path)
        as_good = current is not None and best is not None and bool(current >= best)
        return as_good or super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder = Path(str(self.dirpath))

        def here(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        paths = {name: here(held) for name, held in state_dict.items() if name.endswith("_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "dirpath": self.dirpath, "best_k_models": best})


def _checkpoint(folder: Path, name: str, **chosen_by: Any) -> ModelCheckpoint:
    """Writes `name`.ckpt into `folder` after an epoch."""
    return _Checkpoint(
        dirpath=folder, filename=name, save_on_train_epoch_end=True, enable_version_counter=False, **chosen_by
    )


def resumable(context: TrainingContext) -> bool:
    """Whether `fit` would go on from a checkpoint."""
    return (context.checkpoints / LAST).exists()


def evaluated(learner: Learner) -> dict[str, float]:
    """`learner.evaluate()` without gradients and in evaluation mode."""
    learner.eval()
    with torch.inference_mode():
        values = learner.evaluate()
    learner.train()
    return values


def has_stalled(figures: Sequence[float], patience: int | None) -> bool:
    """Whether the last best of `figures`, one an epoch and higher is better, is `patience` epochs or more ago."""
    return patience is not None and len(figures) > patience and int(np.argmax(figures[::-1])) >= patience


def rate_at(step: int, steps: int, schedule: Schedule) -> float:
    """The factor on the learning rates at `step` of `steps`, in (0, 1]."""
    warm = max(1, round(schedule.warmup * steps))
    if schedule.warmup and step < warm:
        return (step + 1) / (warm + 1)
    done = min(1.0, (step - warm) / max(1, steps - warm))
    if schedule.decay == "step":
        return math.prod(0.1 for share in schedule.milestones if step >= share * steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def in_full_precision(near: Tensor) -> torch.autocast:
    """A block that computes in float32 whatever the precision of the training, on the device of `near`.

    Losses do: distances and temperatures magnify what bfloat16 rounds.
    """
    return torch.autocast(near.device.type, enabled=False)


def backbone_and_heads(backbone: nn.Module, heads: Sequence[nn.Module], schedule: Schedule) -> list[dict[str, Any]]:
    """Two groups of parameters with the schedule's two learning rates; what does not learn is in none."""
    groups = [
        {"params": [p for p in backbone.parameters() if p.requires_grad], "lr": schedule.learning_rate},
        {
            "params": [p for head in heads for p in head.parameters() if p.requires_grad],
            "lr": schedule.head_learning_rate,
        },
    ]
    return [group for group in groups if group["params"]]


class quiet:  # noqa: N801 - used as a statement
    """Keeps Lightning's notices about hardware, workers and folders away from the log."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("pytorch_lightning")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", module="pytorch_lightning")

    def __exit__(self, *_: object) -> None:
        self._warnings.__exit__(None, None, None)
        self._logger.setLevel(self._level)
