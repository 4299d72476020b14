"""What the matching networks may learn from, and what they are asked to tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from contracts.errors import ThreadlineError
from training.configs import BackboneConfig, MatchingConfig, Schedule
from training.dna_encoder import DnaEncoder
from training.matching import refining_loader
from training.matching_learners import Gallery, MatchingLearner, Side, start_as_dna
from training.pictures import Pictures

SIZE = (32, 32)
CONFIG = MatchingConfig(
    SIZE, Schedule(1, 4), BackboneConfig(levels=(1, 2), frozen_stages=2), dimension=8, rerank_width=8
)
NONE = Side(Pictures(np.zeros((0, *SIZE, 3), np.uint8), np.arange(0)), [])


def learner(dna: Any, learnt: list[int]) -> MatchingLearner:
    images = Pictures(np.zeros((len(dna), *SIZE, 3), np.uint8), np.arange(len(dna)))
    gallery = Gallery(images, np.arange(len(dna)), np.asarray(dna, np.float32), SIZE, np.array(learnt))
    return MatchingLearner(CONFIG, 1, gallery, NONE)


def test_articles_of_other_splits_do_not_standardise_the_head() -> None:
    head = learner([[1.0, 2.0], [3.0, 4.0], [900.0, -900.0]], learnt=[0, 1]).head
    assert head.mean.tolist() == [2.0, 3.0]
    assert head.deviation.tolist() == pytest.approx([1.0, 1.0], abs=0.01)


def test_the_reranker_learns_each_article_of_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two right ones, each is the one to tell from the others at some time."""
    torch.manual_seed(0)
    network = learner(np.eye(4), learnt=[0, 1, 2, 3])
    article = torch.eye(4, 8)
    asked: list[Any] = []
    fused = network.reranker.fused

    def noted(photo: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        asked.append(candidates[0, 0].tolist())
        return fused(photo, candidates)

    monkeypatch.setattr(network.reranker, "fused", noted)
    positive = torch.tensor([[False, True, True, False]])
    for _ in range(20):
        network._rerank_loss(torch.ones(1, 8), article, torch.zeros(1, 4), positive)
    assert sorted({tuple(one) for one in asked}) == sorted(tuple(article[row].tolist()) for row in (1, 2))


def test_a_photo_s_backbone_starts_as_the_one_of_the_dna_where_that_is_the_same_network() -> None:
    network = learner(np.eye(4), learnt=[0, 1, 2, 3])
    dna = DnaEncoder(CONFIG.backbone, 4).eval()
    with torch.no_grad():
        for weights in dna.backbone.parameters():
            weights.mul_(1.01)
    start_as_dna(network.photo.backbone, dna)
    pictures = torch.randint(0, 256, (2, *SIZE, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(network.photo.eval().backbone(pictures), dna.backbone(pictures))
    with pytest.raises(ThreadlineError, match="from_dna"):
        start_as_dna(network.photo.backbone, DnaEncoder(BackboneConfig(levels=(1,)), 4))


def test_a_single_picture_of_a_single_article_is_seen_twice() -> None:
    """So that what normalises over a batch has something to go by."""
    images = Pictures(np.full((2, *SIZE, 3), 99, np.uint8), np.arange(2))
    gallery = Gallery(images, np.arange(2), np.eye(2, dtype=np.float32), SIZE, np.arange(2))
    load = refining_loader(Pictures(np.zeros((2, *SIZE, 3), np.uint8), np.arange(2)), [[1], [1]], gallery, CONFIG)
    _, candidates, positive, _, views, owners = load(np.array([0, 1]))
    assert candidates.tolist() == [1] and positive.all()
    assert len(views) == 2 and owners.tolist() == [0, 0]
