"""A workspace that learns in seconds: tiny pictures, one epoch, real networks, real data, the real graph."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from contracts.files import write_text
from orchestration import dvc_data
from orchestration.intake import accept
from orchestration.places import Places
from orchestration.resources import Workspace
from orchestration.sources.sample import SampleSize, deliver_sample
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
from training.presets import Preset

SIZE = (64, 48)
SAMPLE = SampleSize(garments=24, photos_each=3, packshot=(96, 72), photo=(128, 96))
CONFIGURATION = """\
preset = "demo"

[retraining]
attribute_set = 10
look_set = 0.1
mask_set = 0.1

[promotion]
margin = 0.02

[splits]
val = 0.5
test = 0.1
"""


def tiny_preset() -> Preset:
    """A second or two a training.

    The matching heads hardly move, so that a better challenger is easy to make; FashionDNA does, so that another label
    gives another DNA. The baseline has a second epoch, to be killed in.
    """
    brief = Schedule(epochs=1, batch_size=8, learning_rate=1e-6, head_learning_rate=1e-6, threads=1)
    brisk = replace(brief, learning_rate=1e-3, head_learning_rate=3e-3)
    backbone = BackboneConfig(levels=(1, 2), frozen_stages=2)
    still = Probing(steps=1, learning_rate=1e-6)
    matching = MatchingConfig(SIZE, brief, backbone, dimension=16, rerank_negatives=0, probing=still)
    return Preset(
        street2fashion=Street2FashionConfig((32, 32), brief, BackboneConfig(), (8, 8, 8, 8, 8)),
        fashion_dna=FashionDnaConfig(SIZE, brisk, backbone, dimension=16, fewest_of_a_value=2),
        studio2shop=matching,
        fashion2shop=matching,
        reid_baseline=ReidBaselineConfig(SIZE, replace(brief, epochs=2), backbone, dimension=2, probing=still),
        pretrained=PretrainedConfig((32, 32)),
    )


def better(preset: Preset) -> Preset:
    """The same, with a baseline that learns."""
    schedule = replace(preset.reid_baseline.schedule, learning_rate=1e-3, head_learning_rate=3e-3)
    probing = Probing(steps=200, batch_size=64)
    baseline = replace(preset.reid_baseline, schedule=schedule, probing=probing, dimension=64)
    return replace(preset, reid_baseline=baseline)


def other(preset: Preset) -> Preset:
    """The same, with a baseline that is another and no better."""
    schedule = replace(preset.reid_baseline.schedule, seed=2)
    return replace(preset, reid_baseline=replace(preset.reid_baseline, schedule=schedule))


@dataclass(frozen=True)
class TinyWorkspace(Workspace):
    """A workspace whose preset is tiny, or the one it is given."""

    preset: Preset = field(default_factory=tiny_preset)  # type: ignore[assignment]


def make_tiny(root: Path) -> None:
    """A workspace with 24 garments and their photos, accepted; nothing is trained yet."""
    dvc_data.init(root)
    write_text(root / "threadline.toml", CONFIGURATION)
    places = Places(root)
    deliver_sample(places.delivered("catalogue", "one"), places.delivered("street", "one"), size=SAMPLE, workers=1)
    for kind in ("catalogue", "street"):
        verdict = accept(places, kind, "one", "a steward")
        assert verdict.status == "accepted", verdict.rows
