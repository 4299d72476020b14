"""ResNet-IBN-a: in the first three stages, half of the channels of a block's first norm are instance norm.

Pan et al. 2018, figure 3 (a). Instance statistics take out a picture's own look (its light, its camera), which helps
where photos and packshots meet; the other half of the channels, and the last stage, keep what tells garments apart.
"""

from __future__ import annotations

import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

from contracts.errors import ThreadlineError

STAGES = ("layer1", "layer2", "layer3")


class HalfInstanceNorm(nn.Module):
    """Maps (N, C, H, W) with the first half of the channels normalised per picture, the rest over the batch."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Take the place of `norm`, whose weights both halves keep."""
        super().__init__()
        half = norm.num_features // 2
        self.instance = nn.InstanceNorm2d(half, eps=norm.eps, affine=True)
        self.batch = nn.BatchNorm2d(norm.num_features - half, eps=norm.eps, momentum=norm.momentum)
        with torch.no_grad():
            for name in ("weight", "bias"):
                whole = getattr(norm, name)
                getattr(self.instance, name).copy_(whole[:half])
                getattr(self.batch, name).copy_(whole[half:])
            self.batch.running_mean.copy_(norm.running_mean[half:])  # type: ignore[union-attr, index]
            self.batch.running_var.copy_(norm.running_var[half:])  # type: ignore[union-attr, index]

    def forward(self, maps: Tensor) -> Tensor:
        """The normalised `maps`."""
        half = self.instance.num_features
        return torch.cat([self.instance(maps[:, :half]), self.batch(maps[:, half:])], dim=1)


def make_ibn_a(trunk: nn.Module) -> nn.Module:
    """Turn timm's ResNet `trunk` of bottlenecks into its IBN-a form, in place; the trunk itself.

    Raises ThreadlineError for another architecture.
    """
    children = dict(trunk.named_children())
    blocks = [block for stage in STAGES if stage in children for block in children[stage].children()]
    if not blocks or not all(isinstance(block, Bottleneck) for block in blocks):
        raise ThreadlineError(
            f"IBN-a is a form of ResNets with bottlenecks, not of {type(trunk).__name__}",
            "take 'resnet50', or set ibn_a to false",
        )
    for block in blocks:
        block.bn1 = HalfInstanceNorm(block.bn1)  # type: ignore[arg-type]
    return trunk


def original_names(name: str) -> str:
    """The name in `make_ibn_a`'s networks of a tensor of IBN-Net's published files.

    Those differ in the norm's halves only: `layer1.0.bn1.IN.weight` there is `layer1.0.bn1.instance.weight` here, and
    `BN` is `batch`.
    """
    return name.replace(".IN.", ".instance.").replace(".BN.", ".batch.")
