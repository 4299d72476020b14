"""Gradients reach every parameter that should learn, and none that is frozen; the optimiser holds just those."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.backbones import Backbone
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
from training.matching_learners import Gallery, MatchingLearner, RefiningLearner, Side
from training.pictures import Pictures
from training.reid_batches import Batch
from training.reid_learner import ReidLearner
from training.street2fashion import Street2FashionLearner

SIZE = (32, 32)
SHORT = Schedule(1, 4)
BACKBONE = BackboneConfig(levels=(1, 2), attention=2, frozen_stages=2)
REID = ReidBaselineConfig(SIZE, SHORT, BACKBONE, dimension=8)
MATCHING = MatchingConfig(SIZE, SHORT, BACKBONE, dimension=8, rerank_width=8, rerank_negatives=2)
SHOWN = [[0], [1], [2, 3], [3]]


def noise(count: int, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, *SIZE, channels), dtype=torch.uint8)


def stored(count: int) -> Pictures:
    return Pictures(noise(count).numpy(), np.arange(count))


def reid(config: ReidBaselineConfig) -> tuple[Learner, Any]:
    identity = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    shows = nn.functional.one_hot(identity, 4).bool()
    is_photo = torch.tensor([False, True] * 3 + [False, True])
    return ReidLearner(config, 1, 4, None), Batch(noise(8), identity, is_photo, shows)  # type: ignore[arg-type]


def matching(config: MatchingConfig) -> tuple[Learner, Any]:
    gallery = Gallery(stored(5), np.array([0, 1, 2, 3, 3]), torch.randn(4, 6).numpy(), SIZE, np.arange(4))
    none = Side(stored(0), [])
    positive = torch.zeros(4, 4, dtype=torch.bool)
    for row, own in enumerate(SHOWN):
        positive[row, own] = True
    batch = noise(4), torch.arange(4), positive
    if not config.refine:
        return MatchingLearner(config, 1, gallery, none), batch
    learner = RefiningLearner(config, 1, gallery, none, DnaEncoder(BACKBONE, 6), SHOWN)
    learner.memory.keep(nn.functional.normalize(torch.randn(3, 8), dim=1), torch.tensor([0, 1, 2]))
    return learner, (*batch, torch.arange(4), noise(5), torch.tensor([0, 1, 2, 3, 3]))


def dna(config: FashionDnaConfig) -> tuple[Learner, Any]:
    labels = {"colour": np.array([0, 1, 0, 1])}
    side = Attributed(stored(4), np.arange(4), labels, 4)
    learner = FashionDnaLearner(config, 1, {"colour": ("blue", "red")}, {"train": side})
    owners = torch.arange(8)
    return learner, (noise(8), owners, {"colour": torch.tensor([0, 1, 0, 1])}, 2)


def segmenter() -> tuple[Learner, Any]:
    config = Street2FashionConfig(SIZE, SHORT, BackboneConfig(frozen_stages=2), (8, 8, 8, 8, 8))
    return Street2FashionLearner(config, 1, stored(0)), (noise(4), torch.rand(4, *SIZE) > 0.5)


CASES = {
    "published": lambda: reid(dataclasses.replace(REID, contrast_weight=0.0)),
    "every loss": lambda: reid(dataclasses.replace(REID, centroid_weight=1.0, proxy_weight=1.0, contrast_memory=8)),
    "without BNNeck": lambda: reid(dataclasses.replace(REID, neck=False)),
    "contrast alone": lambda: reid(dataclasses.replace(REID, identity_weight=0, triplet_weight=0, center_weight=0)),
    "centroids alone": lambda: reid(
        dataclasses.replace(
            REID, neck=False, identity_weight=0, triplet_weight=0, center_weight=0, contrast_weight=0, centroid_weight=1
        )
    ),
    "IBN-a": lambda: reid(
        dataclasses.replace(REID, backbone=BackboneConfig("resnet50", pretrained=False, ibn_a=True, frozen_stages=1))
    ),
    "matching": lambda: matching(MATCHING),
    "matching without reranker": lambda: matching(dataclasses.replace(MATCHING, rerank_negatives=0, head_width=8)),
    "refining": lambda: matching(dataclasses.replace(MATCHING, refine=True)),
    "FashionDNA": lambda: dna(FashionDnaConfig(SIZE, SHORT, BACKBONE, dimension=8)),
    "Street2Fashion": segmenter,
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_what_learns_and_nothing_else(name: str) -> None:
    torch.manual_seed(0)
    learner, batch = CASES[name]()
    for parameter in learner.parameters():
        if parameter.ndim and not parameter.any():
            nn.init.constant_(parameter.data, 0.1)  # what starts at zero by design would hide what lies before it
    learner.train()
    learner.loss(batch)[0].backward()
    grouped = [parameter for group in learner.parameter_groups() for parameter in group["params"]]
    assert len({id(parameter) for parameter in grouped}) == len(grouped)
    names = {id(parameter): name for name, parameter in learner.named_parameters()}
    idle = [names[id(p)] for p in grouped if p.grad is None or not p.grad.isfinite().all()]
    assert idle == []
    touched = {id(p) for p in learner.parameters() if p.grad is not None}
    assert sorted(names[one] for one in touched - {id(p) for p in grouped}) == []
    moved = sum(bool(p.grad.any()) for p in grouped)
    assert moved > 0.9 * len(grouped), "a gradient of zero is none"


def test_frozen_stages_of_every_backbone_are_in_no_group() -> None:
    for case in ("published", "refining", "FashionDNA"):
        learner, _ = CASES[case]()
        grouped = {id(parameter) for group in learner.parameter_groups() for parameter in group["params"]}
        for part in learner.modules():
            if isinstance(part, Backbone):
                frozen = [p for module in part._frozen for p in module.parameters()]
                assert frozen and not grouped & {id(p) for p in frozen}


@pytest.mark.parametrize(("part", "name"), [("proxy_weight", "proxies"), ("identity_weight", "classify.weight")])
def test_what_is_switched_off_does_not_learn(part: str, name: str) -> None:
    for weight in (0.0, 1.0):
        learner, _ = reid(dataclasses.replace(REID, **{part: weight}))
        grouped = {id(parameter) for group in learner.parameter_groups() for parameter in group["params"]}
        named = dict(learner.named_parameters())
        assert (name in named and id(named[name]) in grouped) == bool(weight)


def test_the_proxies_have_a_rate_of_their_own() -> None:
    learner, _ = reid(dataclasses.replace(REID, proxy_weight=1.0, proxy_learning_rate=0.5))
    assert learner.parameter_groups()[-1]["lr"] == 0.5
