"""The backbone as it comes: an index for a shop that has a catalogue and no pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.backbones import Backbone
from training.configs import PretrainedConfig
from training.context import Trained, TrainingContext
from training.export import GraphExport, finish


class UnitVectors(nn.Module):
    """An encoder whose vectors are scaled to unit length."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor) -> Tensor:
        """Unit vectors (N, D) of `pictures`."""
        return F.normalize(self.encoder(pictures), dim=1)


def export_pretrained(config: PretrainedConfig, context: TrainingContext) -> Trained:
    """Export the pooled features of the pretrained backbone as a package of kind "matching"."""
    backbone = Backbone(config.backbone).eval()
    noise = torch.randint(0, 256, (4, *config.size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    graphs = [
        GraphExport("photo_encoder", UnitVectors(backbone), (("pictures", noise),), "vectors"),
        GraphExport("article_encoder", backbone, (("pictures", noise),), "features"),
    ]
    description = {
        "method": "pretrained",
        "kind": "matching",
        "sizes": {"photo": config.size, "article": config.size},
        "dimension": backbone.width,
        "pooling": "mean",
    }
    return finish(graphs, description, {}, [], context)
