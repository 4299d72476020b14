"""IBN-Net-a against a slow, obvious version, and against the networks it is made from."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file
from contracts.model_package import graph_path
from training.backbones import Backbone, create_trunk
from training.configs import BackboneConfig, Schedule, Street2FashionConfig, WeightsFile
from training.export import GraphExport, export_graph
from training.ibn import HalfInstanceNorm, make_ibn_a

IBN = BackboneConfig("resnet50", pretrained=False, ibn_a=True)


def obvious(maps: Tensor, norm: nn.BatchNorm2d, training: bool) -> Tensor:
    """Channel by channel, in plain numbers."""
    found = torch.empty_like(maps)
    half = maps.shape[1] // 2
    for channel in range(maps.shape[1]):
        for number in range(len(maps)):
            values = maps[number, channel] if channel < half else maps[:, channel]
            mean, variance = values.mean(), values.var(unbiased=False)
            if channel >= half and not training:
                mean, variance = norm.running_mean[channel], norm.running_var[channel]  # type: ignore[index]
            standard = (maps[number, channel] - mean) / (variance + norm.eps).sqrt()
            found[number, channel] = standard * norm.weight[channel] + norm.bias[channel]
    return found


@pytest.mark.parametrize("training", [True, False])
def test_half_of_the_channels_are_instance_norm(training: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    norm = nn.BatchNorm2d(6)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data = torch.rand(6, generator=generator) + 0.5  # type: ignore[union-attr]
    maps = torch.randn(3, 6, 5, 4, generator=generator) * 2 + 1
    expected = obvious(maps, norm, training)
    assert torch.allclose(HalfInstanceNorm(norm).train(training)(maps), expected, atol=1e-5)


def test_the_first_norm_of_each_block_of_three_stages_is_replaced() -> None:
    trunk = create_trunk(IBN)
    replaced = [name for name, part in trunk.named_modules() if isinstance(part, HalfInstanceNorm)]
    assert replaced == [f"layer{s}.{b}.bn1" for s, count in ((1, 3), (2, 4), (3, 6)) for b in range(count)]
    plain = timm.create_model("resnet50", num_classes=0)
    assert sum(p.numel() for p in trunk.parameters()) == sum(p.numel() for p in plain.parameters())


def test_other_networks_are_refused() -> None:
    for name in ("resnet18", "mobilenetv3_small_050"):
        with pytest.raises(ThreadlineError, match="resnet50"):
            make_ibn_a(timm.create_model(name, num_classes=0))
    with pytest.raises(ValueError, match="ibn_a"):
        Street2FashionConfig((32, 32), Schedule(1, 2), IBN)


def published(trunk: nn.Module) -> dict[str, Tensor]:
    """The weights of `trunk` as IBN-Net's files hold them: of several devices, with a classifier, without counters."""
    names = {n: n.replace(".bn1.instance.", ".bn1.IN.").replace(".bn1.batch.", ".bn1.BN.") for n in trunk.state_dict()}
    tensors = {f"module.{names[n]}": t.clone() for n, t in trunk.state_dict().items() if "num_batches" not in n}
    return {**tensors, "module.fc.weight": torch.zeros(1000, 2048), "module.fc.bias": torch.zeros(1000)}


def kept(tensors: dict[str, Tensor], path: Path) -> WeightsFile:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors}, path)
    return WeightsFile(str(path), sha256_of_file(path))


@pytest.mark.parametrize("name", ["ibn.safetensors", "ibn.pth"])
def test_published_weights_fit(tmp_path: Path, name: str) -> None:
    source = create_trunk(IBN).eval()
    file = kept(published(source), tmp_path / name)
    loaded = create_trunk(BackboneConfig("resnet50", ibn_a=True, weights=file)).eval()
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in source.state_dict().items())


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    tensors = published(create_trunk(IBN))
    missing = {name: tensor for name, tensor in tensors.items() if name != "module.layer2.0.bn1.IN.weight"}
    narrow = {**tensors, "module.conv1.weight": torch.zeros(64, 1, 7, 7)}
    plain = timm.create_model("resnet50", num_classes=0).state_dict()
    for number, (stored, said) in enumerate(
        [(missing, r"layer2\.0\.bn1\.instance\.weight"), (narrow, r"\(64, 1, 7, 7\)"), (plain, r"layer1\.0\.bn1")]
    ):
        file = kept(stored, tmp_path / f"{number}.safetensors")
        with pytest.raises(ThreadlineError, match=said):
            create_trunk(BackboneConfig("resnet50", ibn_a=True, weights=file))


def test_files_that_are_not_what_they_should_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no tensors")
    for file, said in (
        (WeightsFile(str(path), sha256_of_file(path)), "cannot be read"),
        (WeightsFile(str(path), "0" * 64), "SHA-256"),
        (WeightsFile(str(tmp_path / "nowhere"), "0" * 64), "nowhere"),
    ):
        with pytest.raises(ThreadlineError, match=said):
            create_trunk(BackboneConfig("resnet50", weights=file))


def test_it_can_be_exported(tmp_path: Path) -> None:
    backbone = Backbone(BackboneConfig("resnet50", pretrained=False, ibn_a=True, last_stride_one=True)).eval()
    pictures = torch.randint(0, 256, (3, 64, 48, 3), dtype=torch.uint8)
    export_graph(GraphExport("photo_encoder", backbone, (("pictures", pictures),), "vectors"), tmp_path)
    assert graph_path(tmp_path, "photo_encoder").exists()
