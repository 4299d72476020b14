"""The published strong baseline: its values, and its first steps at its own picture size."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest
import torch

from training.configs import ReidBaselineConfig, WeightsFile
from training.fit import rate_at
from training.ibn import HalfInstanceNorm
from training.reid_batches import Batch
from training.reid_learner import ReidLearner

Variant = Literal["S", "L"]


def test_its_values_are_the_published_ones() -> None:
    small, large = ReidBaselineConfig.as_published("S"), ReidBaselineConfig.as_published("L")
    assert (small.size, large.size) == ((256, 128), (320, 320))
    assert (small.schedule.batch_size, large.schedule.batch_size) == (192, 48)
    assert (small.backbone.ibn_a, large.backbone.ibn_a) == (False, True)
    for config in (small, large):
        assert (config.identity_weight, config.triplet_weight, config.center_weight) == (1.0, 1.0, 5e-4)
        assert (config.label_smoothing, config.triplet_margin, config.center_learning_rate) == (0.1, 0.5, 0.5)
        assert config.neck and config.backbone.last_stride_one and config.erasing == 0.5
        assert config.dimension == 0 and config.contrast_weight == 0 and config.probing.steps == 0
    rates = [rate_at(epoch, 120, small.schedule) * small.schedule.learning_rate for epoch in range(120)]
    assert rates[:10] == sorted(rates[:10]) and rates[0] < 2e-5
    assert rates[10:40] == pytest.approx([1e-4] * 30)
    assert rates[40:70] == pytest.approx([1e-5] * 30)
    assert rates[70:] == pytest.approx([1e-6] * 50)


def test_weights_from_a_file_are_named_in_it() -> None:
    file = WeightsFile("resnet50_ibn_a.pth", "0" * 64)
    assert ReidBaselineConfig.as_published("L", file).backbone.weights == file


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["S", "L"])
def test_it_starts(variant: Variant) -> None:
    published = ReidBaselineConfig.as_published(variant)
    config = dataclasses.replace(published, backbone=dataclasses.replace(published.backbone, pretrained=False))
    torch.manual_seed(0)
    learner = ReidLearner(config, 120, 2, None)  # type: ignore[arg-type] - nothing is measured here
    assert any(isinstance(part, HalfInstanceNorm) for part in learner.modules()) == (variant == "L")
    identity = torch.tensor([0, 0, 1, 1])
    pictures = torch.randint(0, 256, (4, *config.size, 3), dtype=torch.uint8)
    shows = torch.nn.functional.one_hot(identity, 2).bool()
    batch = Batch(pictures, identity, torch.tensor([False, True, False, True]), shows)
    optimizer = learner.configure_optimizers()["optimizer"]
    assert type(optimizer) is torch.optim.Adam
    trunk: Any = learner.network.backbone.trunk
    before, centers = trunk.conv1.weight.detach().clone(), learner.centers.clone()
    for _ in range(2):
        loss, parts = learner.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert set(parts) == {"identity", "triplet", "center"} and bool(loss.isfinite())
    assert not torch.equal(before, trunk.conv1.weight)
    assert not torch.equal(centers, learner.centers)
    assert not bool(learner.network.neck.bias.any()), "BNNeck keeps its bias at zero"  # type: ignore[operator]
    map_size = trunk.forward_features(torch.zeros(1, 3, *config.size)).shape[2:]
    assert tuple(map_size) == tuple(side // 16 for side in config.size), "last stride 1"
