"""The presets: `demo` for the rendered sample, `workstation` for real data on a few cores, two for the published sizes.

`street2shop` and `deepfashion` are for GPUs: the strong baseline is the published one for that data set, with sizes,
batches and schedule; the other models, for which nothing is published, are of a size that goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from contracts.errors import ThreadlineError
from training.configs import (
    BackboneConfig,
    FashionDnaConfig,
    MatchingConfig,
    Precision,
    PretrainedConfig,
    Probing,
    ReidBaselineConfig,
    Schedule,
    Street2FashionConfig,
    WeightsFile,
)

PresetName = Literal["demo", "workstation", "street2shop", "deepfashion"]


@dataclass(frozen=True)
class Preset:
    """A configuration for every training."""

    street2fashion: Street2FashionConfig
    fashion_dna: FashionDnaConfig
    studio2shop: MatchingConfig
    fashion2shop: MatchingConfig
    reid_baseline: ReidBaselineConfig
    pretrained: PretrainedConfig


def preset(name: PresetName, weights: WeightsFile | None = None) -> Preset:
    """The preset `name`; `weights` are what a published strong baseline starts from, instead of what timm fetches.

    Raises ThreadlineError where there are `weights` and the preset has no use for them.
    """
    if name == "street2shop":
        return published("L", weights)
    if name == "deepfashion":
        return published("S", weights)
    if weights is not None:
        raise ThreadlineError(
            f"the preset '{name}' starts from installed weights, not from {weights.path}",
            "leave out the file, or take the preset 'street2shop' or 'deepfashion'",
        )
    return demo() if name == "demo" else workstation()


def on_machine(chosen: Preset, devices: int, workers: int, precision: Precision, seed: int) -> Preset:
    """The preset `chosen` on `devices` that share each batch, with `workers` processes a device that load batches.

    Everything that is drawn by lot follows from the `seed`.

    Raises ThreadlineError where a batch is too small for them.
    """

    def there(config: Any) -> Any:
        try:
            schedule = replace(config.schedule, devices=devices, workers=workers, precision=precision, seed=seed)
        except ValueError as error:
            raise ThreadlineError(str(error), "take fewer devices") from error
        return replace(config, schedule=schedule)

    return replace(
        chosen,
        street2fashion=there(chosen.street2fashion),
        fashion_dna=there(chosen.fashion_dna),
        studio2shop=there(chosen.studio2shop),
        fashion2shop=there(chosen.fashion2shop),
        reid_baseline=there(chosen.reid_baseline),
    )


def demo() -> Preset:
    """Small pictures, few epochs, early stages as they come: minutes on two cores."""
    size = (128, 96)
    backbone = BackboneConfig(levels=(1, 2, 3), attention=4, frozen_stages=4)
    matching = MatchingConfig(
        size,
        Schedule(epochs=6, batch_size=48, learning_rate=1e-3, head_learning_rate=2e-3, weight_decay=0.1),
        backbone,
        probing=Probing(steps=100),
        from_dna=True,
    )
    return Preset(
        street2fashion=Street2FashionConfig(
            (128, 96),
            Schedule(epochs=2, batch_size=16, learning_rate=5e-4, head_learning_rate=3e-3, per_epoch=400),
            BackboneConfig(frozen_stages=3),
            decoder_channels=(64, 48, 32, 24, 16),
        ),
        fashion_dna=FashionDnaConfig(
            size,
            Schedule(epochs=6, batch_size=48, learning_rate=1e-3, head_learning_rate=3e-3),
            backbone,
        ),
        studio2shop=matching,
        fashion2shop=matching,
        reid_baseline=ReidBaselineConfig(
            size,
            Schedule(epochs=4, batch_size=128, learning_rate=1e-3, head_learning_rate=2e-3),
            backbone,
            augmentation="published",
            erasing=0.5,
        ),
        pretrained=PretrainedConfig(size),
    )


def workstation() -> Preset:
    """Thousands of real pairs on two cores: up to half an hour a model."""
    size = (192, 144)
    backbone = BackboneConfig(levels=(1, 2, 3, 4), attention=4, frozen_stages=4)
    matching = MatchingConfig(size, Schedule(epochs=8, batch_size=96, weight_decay=0.1), backbone, from_dna=True)
    return Preset(
        street2fashion=Street2FashionConfig(
            (320, 224),
            Schedule(epochs=28, batch_size=8, learning_rate=1e-3),
            BackboneConfig(),
            decoder_channels=(64, 48, 32, 16, 8),
        ),
        fashion_dna=FashionDnaConfig((160, 120), Schedule(epochs=6, batch_size=96), backbone),
        studio2shop=matching,
        fashion2shop=matching,
        reid_baseline=ReidBaselineConfig(
            (256, 192),
            Schedule(epochs=12, batch_size=128, head_learning_rate=1e-3, weight_decay=0.05),
            backbone,
            identity_weight=0,
            triplet_weight=0,
            center_weight=0,
            early_epochs=8,
            early_scale=2 / 3,
            probing=Probing(batch_size=1024),
        ),
        pretrained=PretrainedConfig((160, 120)),
    )


def published(variant: Literal["S", "L"], weights: WeightsFile | None) -> Preset:
    """The strong baseline as published in its `variant`, and the other models for a GPU.

    Those start from the installed weights, with every stage learning.
    """
    size = (256, 192)
    backbone = BackboneConfig(levels=(1, 2, 3, 4), attention=4)
    matching = MatchingConfig(size, Schedule(epochs=20, batch_size=256, weight_decay=0.1), backbone)
    return Preset(
        street2fashion=Street2FashionConfig((320, 224), Schedule(epochs=20, batch_size=32, learning_rate=1e-3)),
        fashion_dna=FashionDnaConfig((224, 168), Schedule(epochs=20, batch_size=256), backbone),
        studio2shop=matching,
        fashion2shop=matching,
        reid_baseline=ReidBaselineConfig.as_published(variant, weights),
        pretrained=PretrainedConfig((224, 168)),
    )
