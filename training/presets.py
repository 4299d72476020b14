"""The two presets: `demo` for the rendered sample, `workstation` for real data on a few cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.configs import (
    BackboneConfig,
    FashionDnaConfig,
    MatchingConfig,
    PretrainedConfig,
    Probing,
    ReidBaselineConfig,
    Schedule,
    Street2FashionConfig,
)


@dataclass(frozen=True)
class Preset:
    """A configuration for every training."""

    street2fashion: Street2FashionConfig
    fashion_dna: FashionDnaConfig
    studio2shop: MatchingConfig
    fashion2shop: MatchingConfig
    reid_baseline: ReidBaselineConfig
    pretrained: PretrainedConfig


def preset(name: Literal["demo", "workstation"]) -> Preset:
    """The preset `name`."""
    return demo() if name == "demo" else workstation()


def demo() -> Preset:
    """Small pictures, few epochs, early stages as they come: minutes on two cores."""
    size = (128, 96)
    backbone = BackboneConfig(levels=(1, 2, 3), attention=4, frozen_stages=4)
    matching = MatchingConfig(
        size,
        Schedule(epochs=7, batch_size=48, learning_rate=1e-3, head_learning_rate=2e-3, weight_decay=0.1),
        backbone,
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
    matching = MatchingConfig(size, Schedule(epochs=8, batch_size=96, weight_decay=0.1), backbone)
    return Preset(
        street2fashion=Street2FashionConfig(
            (320, 224),
            Schedule(epochs=8, batch_size=8, learning_rate=1e-3),
            BackboneConfig(),
            decoder_channels=(96, 64, 48, 32, 16),
        ),
        fashion_dna=FashionDnaConfig((160, 120), Schedule(epochs=6, batch_size=96), backbone),
        studio2shop=matching,
        fashion2shop=matching,
        reid_baseline=ReidBaselineConfig(
            size,
            Schedule(epochs=12, batch_size=192, head_learning_rate=1e-3, weight_decay=0.05),
            backbone,
            identity_weight=0,
            triplet_weight=0,
            center_weight=0,
            probing=Probing(batch_size=1024),
        ),
        pretrained=PretrainedConfig((160, 120)),
    )
