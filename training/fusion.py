"""The networks of Studio2Shop: the photo's encoder, the article's head, and the two ways to bring them together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.backbones import Backbone
from training.configs import MatchingConfig


class PhotoEncoder(nn.Module):
    """f(I): pictures (N, H, W, 3) uint8, each with its mirror image, to unit vectors (N, D) float32."""

    def __init__(self, config: MatchingConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config.backbone)
        self.project = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.backbone.width, config.dimension))

    def forward(self, pictures: Tensor) -> Tensor:
        """The vectors of `pictures`."""
        return F.normalize(sum(self.project(self.backbone(one)) for one in (pictures, pictures.flip(2))), dim=1)


class ArticleHead(nn.Module):
    """g(A): pooled DNA (N, F) to unit vectors (N, D), standardised, then linear or with a hidden layer of `width`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, dna: NDArray[np.float32], dimension: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(dna.mean(axis=0)))
        self.register_buffer("deviation", torch.from_numpy(dna.std(axis=0) + 1e-3))
        features = dna.shape[1]
        self.dropout = nn.Dropout(dropout)
        self.layers: nn.Module = nn.Linear(features, dimension)
        if width:
            self.layers = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, dimension))

    def forward(self, pooled: Tensor) -> Tensor:
        """The vectors of articles with `pooled` DNA."""
        return F.normalize(self.layers(self.dropout((pooled - self.mean) / self.deviation)), dim=1)


class Reranker(nn.Module):
    """Early fusion: photo vectors (N, D) and pooled DNA (N, F) to logits (N,), higher for a better match.

    It starts as late fusion and learns what to add to it.
    """

    def __init__(self, head: ArticleHead, dimension: int, width: int, dropout: float) -> None:
        super().__init__()
        self.head = head
        self.scale = nn.Parameter(torch.tensor(10.0))
        last = nn.Linear(width, 1)
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(3 * dimension, width), nn.ReLU(), nn.Dropout(dropout), last
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def learnt(self) -> list[nn.Parameter]:
        """Its own parameters; the head belongs to late fusion."""
        return [self.scale, *self.layers.parameters()]

    def forward(self, photo: Tensor, pooled: Tensor) -> Tensor:
        """The logits of pairs."""
        return self.fused(photo, self.head(pooled))

    def fused(self, photo: Tensor, article: Tensor) -> Tensor:
        """The logits of photo and article vectors (..., D): (...)."""
        product = photo * article
        joined = torch.cat([photo, article, product], dim=-1)
        logits: Tensor = self.layers(joined)[..., 0] + self.scale * product.sum(dim=-1)
        return logits
