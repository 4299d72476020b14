"""What was embedded lately: negatives beyond the batch, at the price of a matrix product.

Cross-batch memory (Wang et al. 2020): vectors drift so slowly that those of the last steps serve as negatives, so that
a photo is compared with thousands of articles where a batch holds dozens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VectorMemory(nn.Module):
    """The last `size` vectors (M, D) with their identities (M,) int64, detached. It is part of a checkpoint."""

    vectors: Tensor
    identity: Tensor
    count: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("identity", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def recall(self) -> tuple[Tensor, Tensor]:
        """What is held, in no order; empty at the start."""
        held = min(int(self.count), len(self.vectors))
        return self.vectors[:held].clone(), self.identity[:held].clone()

    def keep(self, vectors: Tensor, identity: Tensor) -> None:
        """Hold `vectors` (N, D) of `identity` (N,) in place of the oldest; of more than fit, the last ones."""
        size = len(self.vectors)
        if not size:
            return
        kept = min(len(vectors), size)
        first = int(self.count) + len(vectors) - kept
        places = torch.arange(first, first + kept, device=self.vectors.device) % size
        self.vectors[places] = vectors[len(vectors) - kept :].detach().to(self.vectors)
        self.identity[places] = identity[len(identity) - kept :]
        self.count += len(vectors)
