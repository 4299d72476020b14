"""A batch whose parts lie on several ranks, as one: what mining and statistics over a whole batch need.

Each rank computes the features of its part of a batch, gathers those of all, and goes on as a single process would
with the joined batch: losses, necks with batch statistics, centers and memories then agree on every rank. Without a
process group there is one rank, which has everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Member = TypeVar("Member")
Made = TypeVar("Made")


def ranks() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_rank() -> int:
    """The place of this process among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own_part(members: Sequence[Member]) -> Sequence[Member]:
    """This rank's part of the `members` of a batch. In order of rank, the parts are the batch; sizes differ by one."""
    if ranks() == 1:
        return members
    size, longer = divmod(len(members), ranks())
    start = own_rank() * size + min(own_rank(), longer)
    return members[start : start + size + (own_rank() < longer)]


def of_first_rank(make: Callable[[], Made]) -> Made:
    """What `make` gives on rank 0, on every rank; the others wait for it and do not call theirs."""
    if ranks() == 1:
        return make()
    made = [make() if own_rank() == 0 else None]
    distributed.broadcast_object_list(made)
    return made[0]  # type: ignore[return-value]


def gathered(rows: Tensor) -> Tensor:
    """The rows (N_r, ...) of all ranks in order of rank: (sum of N_r, ...), of any dtype; N_r may differ.

    The gradient of a row is the sum of its gradients on all ranks. When every rank computes the loss of the joined
    batch, the mean over ranks that DistributedDataParallel takes of the parameters' gradients is thus the gradient
    which one process would have. Every rank must call this as often as the others.
    """
    if ranks() == 1:
        return rows
    counts = _counts(len(rows), rows.device)
    padded = torch.cat([rows, rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])])
    parts: Tensor = _Gather.apply(padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def before_and_in_all(count: int, device: torch.device) -> tuple[int, int]:
    """How many the ranks before this one have, and how many all have, where this one has `count`."""
    counts = _counts(count, device)
    return sum(counts[: own_rank()]), sum(counts)


def own_weight(count: int, device: torch.device) -> float:
    """What makes the mean over ranks of means over their members the mean over all members; `count` are this rank's."""
    return count * ranks() / before_and_in_all(count, device)[1]


def _counts(count: int, device: torch.device) -> list[int]:
    """The `count` of each rank."""
    if ranks() == 1:
        return [count]
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(ranks())]
    distributed.all_gather(counts, torch.tensor([count], device=device))
    return [int(one) for one in counts]


class _Gather(torch.autograd.Function):
    """The equally long rows of all ranks (ranks, N, ...); a row's gradient is summed over the ranks."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(ranks())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed[own_rank()]
