"""A learner that other processes can import: a triplet loss on members whose features are learnt."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.batches import Batches
from training.configs import Schedule
from training.fit import SELECTION, Learner, in_full_precision
from training.gathering import gathered
from training.losses import batch_hard_triplet

COUNT, CLASSES = 40, 5
DATA = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(COUNT) % CLASSES
NOISE = 0.1


class Triplets(Learner):
    """Batch-hard triplets of all ranks, with dropout of what is gathered; the best epoch is the last."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        super().__init__(schedule, steps)
        torch.manual_seed(1)
        self.encoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
        self.dropout = nn.Dropout(0.2)
        self.seen: list[torch.dtype] = []

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        pictures, labels = batch
        encoded = self.encoder(pictures)
        self.seen.append(encoded.dtype)
        features, labels = gathered(encoded.float()), gathered(labels)
        with in_full_precision(features):
            self.seen.append((features @ features.T).dtype)
            vectors = self.dropout(features)
            apart = torch.zeros(len(labels), len(labels), dtype=torch.bool)
            return batch_hard_triplet(vectors, labels, apart, 0.5), {}

    def evaluate(self) -> dict[str, float]:
        return {SELECTION: float(self.current_epoch)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "lr": self.schedule.learning_rate}]


class Means(Triplets):
    """A mean over the members of a batch."""

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        pictures, labels = batch
        return (self.encoder(pictures)[:, 0] - labels).square().mean(), {}


def plan(rng: np.random.Generator, *, size: int) -> list[Any]:
    """Batches of `size` of all members in random order."""
    return np.split(rng.permutation(COUNT), COUNT // size)


def load(members: Any, *, noise: float) -> tuple[Tensor, Tensor]:
    """The members, altered by chance where there is `noise`."""
    return DATA[members] + noise * torch.randn(len(members), 3), LABELS[members]


def batches(schedule: Schedule, noise: float = 0.0) -> Batches:
    size = schedule.batch_size
    return Batches(partial(plan, size=size), partial(load, noise=noise), 7, schedule.workers)


def learner(kind: type[Triplets], schedule: Schedule) -> Triplets:
    return kind(schedule, schedule.steps(COUNT // schedule.batch_size))
