"""Backbones: their weights, their input, and what of them learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch

from contracts.errors import ThreadlineError
from training.backbones import (
    LITE0,
    Backbone,
    LevelPooling,
    Normalise,
    attended,
    create_trunk,
    lite0_weights,
    stages,
)
from training.configs import BackboneConfig
from training.pictures import Pictures
from training.probing import backbone_features


def pictures(count: int = 4, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_installed_weights_fit_timms_network_one_to_one() -> None:
    own, stored = timm.create_model(LITE0).state_dict(), lite0_weights()
    assert len(stored) == 296
    assert {name: t.shape for name, t in stored.items()} == {name: t.shape for name, t in own.items()}


def test_normalisation_is_that_of_the_weights() -> None:
    normalise = Normalise((0.5, 0.4, 0.3), (0.5, 0.25, 0.2))
    picture = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    expected = [(1 - 0.5) / 0.5, (0 - 0.4) / 0.25, (0.2 - 0.3) / 0.2]
    assert normalise(picture).flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_the_pooled_output_is_timms_own() -> None:
    backbone = Backbone(BackboneConfig()).eval()
    trunk = create_trunk(BackboneConfig()).eval()
    batch = pictures()
    with torch.inference_mode():
        expected = trunk((batch.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
        assert torch.allclose(backbone(batch), expected, atol=1e-4)


def test_levels_leave_out_what_lies_behind_them_and_give_the_same_maps() -> None:
    short = Backbone(BackboneConfig(levels=(1, 2))).eval()
    whole = create_trunk(BackboneConfig(levels=(1, 2))).eval()
    assert sum(p.numel() for p in short.trunk.parameters()) < sum(p.numel() for p in whole.parameters()) / 10
    with torch.inference_mode():
        batch = short.normalise(pictures())
        for one, other in zip(short.trunk(batch), whole(batch), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_level_pooling_is_the_mean_of_each_map() -> None:
    maps = [torch.randn(3, 4, 6, 5), torch.randn(3, 2, 3, 2)]
    pooling = LevelPooling([4, 2], heads=0).eval()
    expected = torch.stack([maps[level][:, c].flatten(1).mean(1) for level in (0, 1) for c in range(4 - 2 * level)], 1)
    assert torch.allclose(pooling(maps), expected, atol=1e-4)


def test_attention_averages_by_its_weights() -> None:
    level, where = torch.randn(2, 3, 4, 5), torch.randn(2, 2, 4, 5)
    found = attended(level, where).reshape(2, 2, 3)
    for n in range(2):
        for k in range(2):
            weights = where[n, k].exp() / where[n, k].exp().sum()
            for c in range(3):
                assert found[n, k, c].item() == pytest.approx((weights * level[n, c]).sum().item(), abs=1e-5)


def test_even_attention_is_the_mean() -> None:
    level = torch.randn(2, 3, 8, 6)
    assert torch.allclose(attended(level, torch.zeros(2, 1, 4, 3)), level.mean((2, 3)), atol=1e-6)


def test_calibration_standardises_the_features() -> None:
    backbone = Backbone(BackboneConfig(levels=(1, 2)))
    batch = pictures(32)
    backbone.calibrate([batch])
    with torch.inference_mode():
        features = backbone.eval()(batch)
    assert features.mean(0).abs().max() < 0.05
    assert features.var(0).median() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("counts", [(65,), (1,), (3, 1100)])
def test_calibration_takes_any_number_of_pictures(counts: tuple[int, ...], workplace: Callable[..., Any]) -> None:
    backbone = Backbone(BackboneConfig(pretrained=False, levels=(1,)))
    sets = [Pictures(pictures(count, (8, 8)).numpy(), np.arange(count)) for count in counts]
    features = backbone_features(backbone, sets, workplace())
    assert features.shape == (sum(counts), backbone.width) and bool(features.isfinite().all())


@pytest.mark.parametrize("config", [BackboneConfig(frozen_stages=3), BackboneConfig(levels=(1, 2, 3), frozen_stages=2)])
def test_frozen_stages_keep_weights_and_statistics_and_all_else_learns(config: BackboneConfig) -> None:
    backbone = Backbone(config).train()
    frozen = [part for stage in stages(backbone.trunk)[: config.frozen_stages] for part in stage]
    held = {id(p) for part in frozen for p in part.parameters()}
    before = [b.clone() for part in frozen for b in part.buffers()]
    backbone(pictures(8, (64, 64))).square().mean().backward()
    for parameter in backbone.parameters():
        assert (parameter.grad is None) == (id(parameter) in held)
    after = [b for part in frozen for b in part.buffers()]
    assert held and all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_last_stride_one_doubles_the_last_map(name: str) -> None:
    sizes = []
    for last_stride_one in (False, True):
        config = BackboneConfig(name, pretrained=False, last_stride_one=last_stride_one)
        trunk = Backbone(config).trunk.eval()
        with torch.inference_mode():
            sizes.append(trunk.forward_features(torch.zeros(1, 3, 64, 64)).shape[2])  # type: ignore[operator]
    assert sizes == [2, 4]


def test_last_stride_one_is_that_of_the_last_level() -> None:
    heights = []
    for last_stride_one in (False, True):
        backbone = Backbone(BackboneConfig(pretrained=False, levels=(1, 2, 3), last_stride_one=last_stride_one))
        heights.append([level.shape[2] for level in backbone.trunk.eval()(torch.zeros(1, 3, 64, 64))])
    assert heights == [[16, 8, 4], [16, 8, 8]]


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_050"])
def test_other_architectures_have_stages(name: str) -> None:
    assert len(stages(create_trunk(BackboneConfig(name, pretrained=False)))) >= 4


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ThreadlineError, match="no_such_network"):
        create_trunk(BackboneConfig("no_such_network"))


def test_attention_without_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="levels"):
        BackboneConfig(attention=2)
