"""Frozen stages through another runtime give what they give by themselves, in the network and in its copies."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.model_package import graph_path
from training.backbones import Backbone
from training.configs import BackboneConfig
from training.export import GraphExport, export_graph, run_graph
from training.frozen_stages import MANY
from training.pretrained import UnitVectors

LEVELS = BackboneConfig(levels=(1, 2, 3), attention=2, frozen_stages=4)
NETWORKS = {
    "levels": LEVELS,
    "only the last map": BackboneConfig(frozen_stages=3),
    "a residual network": BackboneConfig("resnet18", pretrained=False, frozen_stages=3),
    "levels of a residual network": BackboneConfig("resnet18", pretrained=False, levels=(1, 2, 3), frozen_stages=2),
}


def pictures(count: int = 5, size: tuple[int, int] = (64, 48)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)


def plain_and_short(config: BackboneConfig) -> tuple[Backbone, Backbone]:
    """The same network twice; the frozen stages of the second take the other way."""
    torch.manual_seed(0)
    plain = Backbone(config)
    short = copy.deepcopy(plain)
    short.shorten(MANY)
    assert short._shortcut is not None
    return plain, short


def assert_alike(plain: Backbone, short: Backbone, given: torch.Tensor) -> None:
    expected, found = plain(given), short(given)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("config", NETWORKS.values(), ids=list(NETWORKS))
def test_the_features_and_the_gradients_are_the_same(config: BackboneConfig) -> None:
    plain, short = plain_and_short(config)
    for given in (pictures(), pictures(3, (96, 64)), pictures(2, (171, 127))):
        assert_alike(plain.train(), short.train(), given)
        assert_alike(plain.eval(), short.eval(), given)
    target = torch.rand(plain(pictures()).shape)
    for network in (plain.train(), short.train()):
        network.zero_grad()
        (network(pictures()) * target).sum().backward()
    ours = dict(short.named_parameters())
    for name, parameter in plain.named_parameters():
        expected, found = parameter.grad, ours[name].grad
        assert (expected is None) == (found is None) == (not parameter.requires_grad), name
        if expected is not None and found is not None:
            assert torch.linalg.norm(found - expected) <= 0.05 * torch.linalg.norm(expected) + 1e-3, name


def test_the_frozen_stages_themselves_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, short = plain_and_short(LEVELS)
    short(pictures())
    asked: list[torch.Size] = []
    short.trunk.get_submodule("blocks.1.0.conv_pw").register_forward_hook(lambda _m, _given, out: asked.append(out))
    short(pictures())
    assert asked == []


def test_calibrating_sees_the_same_maps() -> None:
    plain, short = plain_and_short(LEVELS)
    for network in (plain, short):
        network.calibrate([pictures(6), pictures(4)])
    for name in ("pooling.standardise.running_mean", "pooling.standardise.running_var"):
        expected = plain.state_dict()[name]
        assert torch.allclose(short.state_dict()[name], expected, rtol=1e-3, atol=1e-4)
    assert [one.training for one in short.modules()] == [one.training for one in plain.modules()]


def test_other_weights_are_taken_up() -> None:
    plain, short = plain_and_short(LEVELS)
    assert_alike(plain.eval(), short.eval(), pictures())
    torch.manual_seed(1)
    other = Backbone(BackboneConfig(pretrained=False, levels=(1, 2, 3), attention=2, frozen_stages=4)).eval()
    short.load_state_dict(other.state_dict())
    assert_alike(other, short, pictures())


def test_a_copy_is_whole() -> None:
    plain, short = plain_and_short(LEVELS)
    short(pictures())
    again = copy.deepcopy(short)
    again.load_state_dict(plain.state_dict())
    assert_alike(plain.eval(), again.eval(), pictures())


def test_in_another_precision_the_network_computes_all_of_itself() -> None:
    plain, short = plain_and_short(LEVELS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain.eval()(pictures()), short.eval()(pictures()))


def test_the_exported_graph_holds_all_stages(tmp_path: Path) -> None:
    plain, short = plain_and_short(LEVELS)
    short.eval()(pictures())
    export_graph(GraphExport("photo_encoder", UnitVectors(short), (("pictures", pictures(4)),), "vectors"), tmp_path)
    found = run_graph(graph_path(tmp_path, "photo_encoder"), {"pictures": pictures(3).numpy()})
    with torch.inference_mode():
        expected = UnitVectors(plain.eval())(pictures(3)).numpy()
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "legacy_seresnet18", "hrnet_w18_small", "resnetrs50"])
def test_a_network_whose_stages_cannot_be_replaced_computes_all_of_itself(name: str) -> None:
    network = Backbone(BackboneConfig(name, pretrained=False, frozen_stages=2)).eval()
    given = pictures(2, (224, 224))
    expected = network(given)
    network.shorten(MANY)
    assert torch.allclose(network(given), expected, atol=1e-4)
