"""A small network on the baseline's losses, alone or as one of several ranks over gloo."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from training.gathering import gathered, own_part
from training.losses import batch_hard_triplet, centroid_triplet, identity_loss, symmetric_contrast

CLASSES = 5
LABELS = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4]
"""Eleven pictures, so that the parts of two ranks differ in size."""


class Network(nn.Module):
    """Features, and behind the gathering a neck with the statistics of the batch and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
        self.neck = nn.BatchNorm1d(4)
        self.classify = nn.Linear(4, CLASSES, bias=False)

    def forward(self, pictures: Tensor, labels: Tensor, shows: Tensor) -> Tensor:
        """The loss of the joined batch."""
        before, labels, shows = gathered(self.encoder(pictures)), gathered(labels), gathered(shows)
        after = self.neck(before)
        shared = (shows.float() @ shows.float().T) > 0
        ignored = shared & (labels[:, None] != labels[None, :])
        unit, half = F.normalize(after, dim=1), len(labels) // 2
        same = labels[:half, None] == labels[None, half:]
        return (
            batch_hard_triplet(before, labels, ignored, 0.5)
            + centroid_triplet(before, labels, ignored, 0.5)
            + identity_loss(self.classify(after), labels, shows & ~F.one_hot(labels, CLASSES).bool(), 0.1)
            + symmetric_contrast(unit[:half], unit[half:], same, ignored[:half, half:], 10.0)
        )


def learn(found: Path) -> None:
    """Compute the loss and its gradients on this rank's part of the batch, and keep them in `found`."""
    generator = torch.Generator().manual_seed(3)
    pictures, labels = torch.randn(len(LABELS), 6, generator=generator), torch.tensor(LABELS)
    shows = F.one_hot(labels, CLASSES).bool()
    shows[0, 4] = shows[5, 3] = True  # two pictures that show another article besides
    rows = torch.tensor(own_part(range(len(LABELS))))
    network: nn.Module = Network()
    if distributed.is_initialized():
        network = DistributedDataParallel(network)
    loss = network(pictures[rows], labels[rows], shows[rows])
    loss.backward()
    named = {name.removeprefix("module."): one.grad for name, one in network.named_parameters()}
    statistics = {name.removeprefix("module."): one for name, one in network.named_buffers()}
    torch.save({"loss": loss.detach(), "rows": rows, **named, **statistics}, found)


def rank(number: int, of: int, folder: str) -> None:
    """Be one of `of` ranks that meet in `folder`."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=of)
    learn(Path(folder) / f"rank-{number}.pt")
    distributed.destroy_process_group()
