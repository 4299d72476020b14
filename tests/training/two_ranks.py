"""Every learner with a small network in place of its backbone, alone on a joined batch or as one of two ranks.

Its own module, for ranks that are started afresh import it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from training.configs import (
    BackboneConfig,
    FashionDnaConfig,
    MatchingConfig,
    ReidBaselineConfig,
    Schedule,
    Street2FashionConfig,
)
from training.dna_encoder import DnaEncoder
from training.fashion_dna import Attributed, FashionDnaLearner
from training.fit import Learner
from training.gathering import own_part, own_rank, ranks
from training.matching_learners import Gallery, MatchingLearner, RefiningLearner, Side
from training.pictures import Pictures
from training.reid_batches import Batch
from training.reid_learner import ReidLearner
from training.street2fashion import Street2FashionLearner

SIZE = (32, 32)
SHORT = Schedule(1, 11, devices=1)
SMALL = BackboneConfig(pretrained=False)
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4])
"""Eleven pictures, so that the parts of two ranks differ in size."""

SHOWN = [[0], [1], [2, 3], [3], [5]]
"""The articles of five photos; both ranks' parts show article 3."""

Case = tuple[Learner, Any]


class Network(nn.Module):
    """In place of a backbone: no normalisation by the statistics of a batch, which each rank takes of its own part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(SIZE[0] * SIZE[1] * 3, 8), nn.Tanh(), nn.Linear(8, width))

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layers(pictures.flatten(1) / 255)
        return features


class PixelByPixel(nn.Module):
    """In place of the segmenter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.layer(pictures / 255)[..., 0]
        return logits


def noise(count: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (count, *SIZE, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def reid(**weights: Any) -> Case:
    """P x K with two pictures that show another article besides; a loss at a time, and dropout of what is gathered."""
    nothing = dict.fromkeys([f"{name}_weight" for name in ("identity", "triplet", "center", "contrast")], 0.0)
    config = ReidBaselineConfig(SIZE, SHORT, SMALL, dimension=6, dropout=0.3)
    learner = ReidLearner(dataclasses.replace(config, **{**nothing, **weights}), 1, 5, None)  # type: ignore[arg-type]
    width = learner.network.backbone.width
    learner.network.backbone = Network(width)  # type: ignore[assignment]
    shows = F.one_hot(LABELS, 5).bool()
    shows[0, 4] = shows[5, 3] = True
    rows = torch.tensor(own_part(range(11)))
    is_photo = torch.arange(11) % 2 == 1
    return learner, Batch(noise(11, 1)[rows], LABELS[rows], is_photo[rows], shows[rows])


def matching(*, refine: bool) -> Case:
    """Five photos; each rank compares its own with what they show and with another article of its own choice."""
    config = MatchingConfig(
        SIZE, SHORT, SMALL, dimension=6, rerank_width=8, rerank_negatives=2, dropout=0.3, refine=refine, memory=4
    )
    stored = Pictures(noise(6, 2).numpy(), np.arange(6))
    dna = np.random.default_rng(3).normal(size=(6, 5)).astype(np.float32)
    gallery = Gallery(stored, np.arange(6), dna, SIZE, np.arange(6))
    photos = list(own_part(range(5)))
    extra = {0} if refine else {0, 4} if ranks() == 1 else {[0, 4][own_rank()]}
    candidates = torch.tensor(sorted({*(row for photo in photos for row in SHOWN[photo]), *extra}))
    positive = torch.stack([torch.isin(candidates, torch.tensor(SHOWN[photo])) for photo in photos])
    batch = noise(5, 4)[photos], candidates, positive
    none = Side(Pictures(np.empty((0, *SIZE, 3), np.uint8), np.arange(0)), [])
    if not refine:
        learner = MatchingLearner(config, 1, gallery, none)
        learner.photo.backbone = Network(learner.photo.backbone.width)  # type: ignore[assignment]
        return learner, batch
    encoder = DnaEncoder(SMALL, 5)
    learner = RefiningLearner(config, 1, gallery, none, encoder, SHOWN)
    learner.photo.backbone = Network(learner.photo.backbone.width)  # type: ignore[assignment]
    encoder.backbone = Network(encoder.backbone.width)  # type: ignore[assignment]
    images = stored.batch(candidates.numpy())
    return learner, (*batch, torch.tensor(photos), images, torch.arange(len(candidates)))


def dna() -> Case:
    """Five articles with two views of two images each, and a label that one of them lacks."""
    labels = {"colour": np.array([0, 1, 0, -1, 1])}
    side = Attributed(Pictures(noise(5, 5).numpy(), np.arange(5)), np.arange(5), labels, 5)
    config = FashionDnaConfig(SIZE, SHORT, SMALL, dimension=6)
    learner = FashionDnaLearner(config, 1, {"colour": ("blue", "red")}, {"train": side})
    learner.network.backbone = Network(learner.network.backbone.width)  # type: ignore[assignment]
    pictures = noise(20, 6).view(2, 5, 2, *SIZE, 3)
    articles = torch.tensor(own_part(range(5)))
    owners = torch.arange(2 * len(articles)).repeat_interleave(2)
    return learner, (
        pictures[:, articles].flatten(0, 2),
        owners,
        {"colour": torch.from_numpy(labels["colour"])[articles]},
        2,
    )


def segmenter() -> Case:
    """Five photos of noise; the loss is a mean over them."""
    config = Street2FashionConfig(SIZE, SHORT, BackboneConfig(pretrained=False), (8, 8, 8, 8, 8))
    learner = Street2FashionLearner(config, 1, None)  # type: ignore[arg-type]
    learner.network = PixelByPixel()  # type: ignore[assignment]
    pictures = noise(5, 7)
    rows = torch.tensor(own_part(range(5)))
    return learner, (pictures[rows], pictures[rows][..., 0] > 100)


CASES: dict[str, Callable[[], Case]] = {
    "identity": lambda: reid(identity_weight=1.0),
    "triplet": lambda: reid(triplet_weight=1.0),
    "center": lambda: reid(center_weight=1.0),
    "centroid": lambda: reid(centroid_weight=1.0),
    "proxy": lambda: reid(proxy_weight=1.0),
    "contrast": lambda: reid(contrast_weight=1.0),
    "contrast with a memory": lambda: reid(contrast_weight=1.0, contrast_memory=8),
    "matching": lambda: matching(refine=False),
    "refining": lambda: matching(refine=True),
    "FashionDNA": dna,
    "Street2Fashion": segmenter,
}
MEANS = {"Street2Fashion"}
"""Whose loss is a rank's share of the joined one, and not the joined one itself."""


class _Loss(nn.Module):
    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Any) -> Tensor:
        return self.learner.loss(batch)[0]


def learn(found: Path) -> None:
    """Two losses of each case on this rank's part, the second with what the first left, and the gradients of both."""
    results: dict[str, dict[str, Tensor]] = {}
    for name, make in CASES.items():
        torch.manual_seed(7)
        learner, batch = make()
        module: nn.Module = _Loss(learner).train()
        if distributed.is_initialized():
            module = DistributedDataParallel(module, find_unused_parameters=True, broadcast_buffers=False)
        torch.manual_seed(8)
        kept: dict[str, Tensor] = {}
        for step in range(2):
            loss = module(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            kept[f"loss {step}"] = loss.detach()
        kept |= {f"gradient of {key}": one.grad for key, one in learner.named_parameters() if one.grad is not None}
        kept |= {key: one.clone() for key, one in learner.named_buffers()}
        results[name] = kept
    torch.save(results, found)


def learn_as_another_rank(folder: Path) -> None:
    """What `together` lets the second rank do."""
    torch.set_num_threads(1)
    learn(folder / "rank-1.pt")
