"""Augmentation of uint8 pictures on the CPU, a picture at a time, with torchvision.

Sizes are kept. The random numbers are torch's own, so that a seed fixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from contracts.images import WHITE, Size

Augmentation = Callable[[Tensor], Tensor]
"""From a picture (3, H, W) uint8 to one of the same shape."""


def augmented(pictures: Tensor, augmentation: Augmentation) -> Tensor:
    """`augmentation` of each of `pictures` (N, H, W, 3) uint8; same shape."""
    changed = [augmentation(picture) for picture in pictures.permute(0, 3, 1, 2)]
    return torch.stack(changed).permute(0, 2, 3, 1)


def reid_augmentation(size: Size, erasing: float, fill: Sequence[int]) -> Augmentation:
    """That of the published baseline: flip, pad and crop, erasing with probability `erasing`, filled with `fill`.

    The published padding of 10 pixels is for a side of 256; it shrinks with the picture.
    """
    padding = max(2, round(10 * max(size) / 256))
    return _compose(
        v2.RandomHorizontalFlip(),
        v2.RandomCrop(size, padding=padding, fill=WHITE),
        v2.RandomErasing(erasing, scale=(0.02, 0.4), ratio=(0.3, 3.3), value=list(fill)),
    )


def photo_augmentation(size: Size, erasing: float = 0.25) -> Augmentation:
    """For a photo with people: flip, another crop, other light, a small part erased with probability `erasing`."""
    return _compose(
        v2.RandomHorizontalFlip(),
        v2.RandomResizedCrop(size, scale=(0.6, 1.0), ratio=_ratio(size, 0.15), antialias=False),
        v2.RandomApply([_light(0.2)], 0.5),
        v2.RandomErasing(erasing, scale=(0.02, 0.15), value=128),
    )


def instance_augmentation(size: Size) -> Augmentation:
    """For telling single garments apart, and what they are: a part of it, in slightly other light, partly hidden."""
    return _compose(
        v2.RandomHorizontalFlip(),
        v2.RandomResizedCrop(size, scale=(0.4, 1.0), ratio=_ratio(size, 0.25), antialias=False),
        v2.RandomApply([_light(0.1)], 0.8),
        v2.RandomErasing(0.5, scale=(0.05, 0.3), value=WHITE),
    )


def _light(strength: float) -> v2.ColorJitter:
    """Brightness, contrast and saturation; the hue stays, for it is what tells garments apart."""
    return v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)


def _ratio(size: Size, spread: float) -> tuple[float, float]:
    """The aspect (width / height) of a crop of `size`, give or take `spread`."""
    own = size[1] / size[0]
    return own * (1 - spread), own * (1 + spread)


def _compose(*steps: torch.nn.Module) -> Augmentation:
    whole: Augmentation = v2.Compose(steps)
    return whole
