"""A batch whose parts lie on several ranks, as one: what mining and statistics over a whole batch need.

Each rank computes the features of its part of a batch, gathers those of all, and goes on as a single process would
with the joined batch: losses, necks with batch statistics, centers and memories then agree on every rank. Without a
process group there is one rank, which has everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Member = TypeVar("Member")


def ranks() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_part(members: Sequence[Member]) -> Sequence[Member]:
    """This rank's part of the `members` of a batch. In order of rank, the parts are the batch; sizes differ by one."""
    if ranks() == 1:
        return members
    size, longer = divmod(len(members), ranks())
    rank = distributed.get_rank()
    start = rank * size + min(rank, longer)
    return members[start : start + size + (rank < longer)]


def gathered(rows: Tensor) -> Tensor:
    """The rows (N_r, ...) of all ranks in order of rank: (sum of N_r, ...), of any dtype; N_r may differ.

    The gradient of a row is the sum of its gradients on all ranks. When every rank computes the loss of the joined
    batch, the mean over ranks that DistributedDataParallel takes of the parameters' gradients is thus the gradient
    which one process would have. Every rank must call this as often as the others.
    """
    if ranks() == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(ranks())]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    most = int(max(counts))
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
    parts: Tensor = _Gather.apply(padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """The equally long rows of all ranks (ranks, N, ...); a row's gradient is summed over the ranks."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(ranks())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        distributed.all_reduce(summed)
        return summed[distributed.get_rank()]
