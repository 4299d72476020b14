"""The one encoder of the strong baseline: a backbone, a reduction and BNNeck."""

from __future__ import annotations

from torch import Tensor, nn

from training.backbones import Backbone
from training.configs import ReidBaselineConfig


class ReidEncoder(nn.Module):
    """Pictures (N, H, W, 3) uint8 to features after BNNeck (N, D) float32, not normalised."""

    def __init__(self, config: ReidBaselineConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config.backbone)
        self.dimension = config.dimension or self.backbone.width
        linear = nn.Linear(self.backbone.width, config.dimension, bias=False) if config.dimension else nn.Identity()
        self.reduce = nn.Sequential(nn.Dropout(config.dropout), linear)
        self.neck: nn.Module = nn.Identity()
        if config.neck:
            self.neck = nn.BatchNorm1d(self.dimension)
            self.neck.bias.requires_grad_(False)

    def before_neck(self, pictures: Tensor) -> Tensor:
        """The features (N, D) that the metric losses see."""
        features: Tensor = self.reduce(self.backbone(pictures))
        return features

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of `pictures` that retrieval uses."""
        features: Tensor = self.neck(self.before_neck(pictures))
        return features
