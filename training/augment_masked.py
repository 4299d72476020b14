"""Augmentation of photos with their person masks: what a segmenter must not mind.

A picture and its mask are one tensor (4, H, W) uint8, the mask being the fourth channel (255 on the person). Records
are larger than the network's pictures, so that close-ups are as sharp as real ones. The random numbers are torch's
own, so that a seed fixes them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as image

from contracts.images import WHITE, Size, decode, encode_jpeg

DETAIL = 1.5
"""The sides of a record, as a multiple of those of the network's pictures."""


class MaskedAugmentation:
    """Another view of a photo, of `size` (height, width), with its mask.

    Its frame is the whole photo, a half of a person or a close-up, upright as a portrait or wide. One in five people
    stands before a piece of another photo, smaller or larger. Then flip, light, and what cameras and messengers do to
    pictures: noise, blur and JPEG.
    """

    def __init__(self, size: Size) -> None:
        self._size = size
        self._look = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3)], 0.7),
                v2.RandomApply([v2.Lambda(_another_exposure)], 0.3),
                v2.RandomGrayscale(0.05),
                v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.5))], 0.15),
                v2.RandomApply([v2.Lambda(_grainy)], 0.15),
                v2.RandomApply([v2.Lambda(_compressed)], 0.3),
            ]
        )

    def __call__(self, record: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Of a `record` a view (3, H, W) uint8 and its mask (1, H, W) bool; `other` may lend its background."""
        scene = free_columns(other) if _chance(0.2) else None
        view = framed(record, self._size) if scene is None else before(record, scene, self._size)
        if _chance(0.5):
            view = image.horizontal_flip(view)
        looked: Tensor = self._look(view[:3])
        return looked, view[3:] >= 128


def framed(record: Tensor, size: Size) -> Tensor:
    """A part of `record` (4, h, w) at `size`: its height from all to a quarter, now and then a wide one.

    Wide parts keep their aspect between white bars, as every picture does that is fitted into a portrait.
    """
    height, width = record.shape[1:]
    share = _uniform(0.75, 1.0) if _chance(0.5) else _uniform(0.25, 0.75)
    aspect = size[1] / size[0]
    aspect *= math.exp(_uniform(math.log(1.2), math.log(2.2))) if _chance(0.2) else _uniform(0.85, 1.15)
    down = max(1, round(share * height))
    across = min(width, max(1, round(down * aspect)))
    down = min(down, max(1, round(across / aspect)))
    part = image.crop(record, _place(height - down), int(_uniform(0, 1) * (width - across)), down, across)
    return _fitted(part, size, aspect)


def before(record: Tensor, scene: Tensor, size: Size) -> Tensor:
    """The person of `record` (4, h, w) before a piece of `scene` (3, h, w'), at `size`.

    A person whom the photo cuts off at its lower border ends at the lower border of the new one as well.
    """
    behind = piece_of(scene, size)
    rows, columns = (torch.nonzero(record[3].amax(dim=axis) >= 128).flatten() for axis in (1, 0))
    if not len(rows):
        return torch.cat([behind, torch.zeros_like(behind[:1])])
    top, left = int(rows[0]), int(columns[0])
    down, across = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    is_cut = top + down >= record.shape[1]
    scale = min(_uniform(0.35, 1.4) * size[0] / down, 2.0)
    person = image.crop(record, top, left, down, across)
    person = image.resize(person, [max(2, round(down * scale)), max(2, round(across * scale))], antialias=True)
    person = person[:, : size[0]]
    room = size[0] - person.shape[1]
    row = room if is_cut else int(_uniform(0.5, 1) * room)
    column = int(_uniform(-0.2, 1.2) * (size[1] - person.shape[2])) if person.shape[2] < size[1] else 0
    column = max(0, min(column, max(0, size[1] - person.shape[2])))
    person = person[:, :, : size[1]]
    canvas = torch.cat([behind, torch.zeros_like(behind[:1])])
    window = canvas[:, row : row + person.shape[1], column : column + person.shape[2]]
    opacity = feathered(person[3]) if person.shape[1] > 4 and person.shape[2] > 4 else person[3].float() / 255
    mixed = opacity * person[:3].float() + (1 - opacity) * window[:3].float()
    window[:3] = mixed.round().to(torch.uint8)
    window[3] = torch.where(opacity >= 0.5, 255, 0).to(torch.uint8)
    return canvas


def feathered(mask: Tensor) -> Tensor:
    """The opacity (H, W) float32 in [0, 1] of a person with `mask` (H, W) uint8: a soft edge, a pixel inside its own.

    What lies outside of a label's edge is the old background, which would give the person away.
    """
    soft = mask[None, None].float() / 255
    inner = -F.max_pool2d(-soft, 3, stride=1, padding=1)
    return F.avg_pool2d(inner, 3, stride=1, padding=1, count_include_pad=False)[0, 0]


def free_columns(record: Tensor) -> Tensor | None:
    """The picture (3, H, w) beside the people of `record` (4, H, W), the wider side; None under a tenth of it."""
    record = record[:, :, ~(record[:3] == WHITE).flatten(0, 1).all(dim=0)]  # without the bars of a fitted picture
    columns = torch.nonzero(record[3].amax(dim=0) >= 128).flatten()
    if not len(columns):
        return record[:3] if record.shape[2] else None
    left, right = record[:3, :, : int(columns[0])], record[:3, :, int(columns[-1]) + 1 :]
    free = left if left.shape[2] >= right.shape[2] else right
    return free if free.shape[2] >= record.shape[2] / 10 else None


def piece_of(scene: Tensor, size: Size) -> Tensor:
    """A piece of `scene` (3, h, w) at `size`, mirrored at its side as often as it is too narrow."""
    height, width = scene.shape[1:]
    down = round(_uniform(0.5, 1.0) * height)
    across = max(1, round(down * size[1] / size[0]))
    turns = -(-across // width) + 1
    wide = torch.cat([scene if turn % 2 else scene.flip(2) for turn in range(turns)], dim=2)
    top, left = int(_uniform(0, 1) * (height - down)), int(_uniform(0, 1) * (wide.shape[2] - across))
    piece: Tensor = image.resize(image.crop(wide, top, left, down, across), list(size), antialias=True)
    return piece


def _fitted(part: Tensor, size: Size, aspect: float) -> Tensor:
    """`part` (4, h, w) at `size`; one that is much wider keeps its `aspect` (width / height), on white ground."""
    if aspect <= 1.16 * size[1] / size[0]:
        whole: Tensor = image.resize(part, list(size), antialias=True)
        return whole
    height = max(1, min(size[0], round(size[1] / aspect)))
    canvas = torch.tensor([WHITE, WHITE, WHITE, 0], dtype=torch.uint8)[:, None, None].repeat(1, *size)
    top = (size[0] - height) // 2
    canvas[:, top : top + height] = image.resize(part, [height, size[1]], antialias=True)
    return canvas


def _place(room: int) -> int:
    """Where a part begins that may begin at 0 to `room`: in one of three at either end."""
    if _chance(1 / 3):
        return 0 if _chance(0.5) else room
    return int(_uniform(0, 1) * room)


def _another_exposure(picture: Tensor) -> Tensor:
    """`picture` (3, H, W) uint8 darker or lighter in its middle tones, and of another white balance."""
    gamma = math.exp(_uniform(math.log(0.45), math.log(2.2)))
    gains = 1 + 0.1 * (2 * torch.rand(3, 1) - 1)
    levels = (torch.arange(256) / 255) ** gamma * gains * 255  # (3, 256)
    table = levels.clamp(0, 255).round().to(torch.uint8)
    return torch.stack([row[channel.int()] for row, channel in zip(table, picture, strict=True)])


def _grainy(picture: Tensor) -> Tensor:
    grain = torch.randn(picture.shape) * _uniform(3, 15)
    return (picture.float() + grain).clamp(0, 255).to(torch.uint8)


def _compressed(picture: Tensor) -> Tensor:
    """`picture` (3, H, W) uint8 after JPEG. By Pillow: torchvision gives its own encoder up."""
    data = encode_jpeg(picture.permute(1, 2, 0).numpy(), int(_uniform(30, 95)))
    return torch.from_numpy(decode(data).copy()).permute(2, 0, 1)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _chance(share: float) -> bool:
    return float(torch.rand(())) < share
