"""The presets of the published sizes: what they are, what they start from, and their first steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ThreadlineError
from training.configs import FashionDnaConfig, Probing, ReidBaselineConfig, Schedule, WeightsFile
from training.context import Progress, TrainingContext
from training.fashion_dna import train_fashion_dna
from training.matching import train_matching
from training.presets import Preset, PresetName, on_machine, preset
from training.reid_baseline import train_reid_baseline
from training.sets import LookSet, Segmentation
from training.street2fashion import train_street2fashion

Workplace = Callable[..., TrainingContext]
FILE = WeightsFile("resnet50.pth", "0" * 64)


@pytest.mark.parametrize(
    ("name", "size", "batch", "ibn_a"),
    [
        ("street2shop", (320, 320), 48, True),
        ("deepfashion", (256, 128), 192, False),
    ],
)
def test_published_sizes(name: PresetName, size: tuple[int, int], batch: int, ibn_a: bool) -> None:
    reid = preset(name).reid_baseline
    assert reid == ReidBaselineConfig.as_published("L" if ibn_a else "S")
    assert (reid.size, reid.schedule.batch_size, reid.backbone.ibn_a) == (size, batch, ibn_a)
    assert (reid.backbone.name, reid.schedule.epochs) == ("resnet50", 120)
    assert preset(name, FILE).reid_baseline.backbone.weights == FILE


def test_other_presets_have_no_use_for_a_file_of_weights() -> None:
    with pytest.raises(ThreadlineError, match="'demo' starts from installed weights"):
        preset("demo", FILE)


def test_every_training_is_told_of_the_machine() -> None:
    there = on_machine(preset("deepfashion"), devices=4, workers=3, precision="bfloat16", seed=7)
    trained = [getattr(there, field.name) for field in dataclasses.fields(Preset) if field.name != "pretrained"]
    told = {(one.schedule.devices, one.schedule.workers, one.schedule.precision, one.schedule.seed) for one in trained}
    assert told == {(4, 3, "bfloat16", 7)}
    assert on_machine(preset("demo"), 1, 0, "float32", 1) == preset("demo")
    with pytest.raises(ThreadlineError, match="too small for 20 devices"):
        on_machine(preset("demo"), devices=20, workers=0, precision="float32", seed=1)


def test_weights_that_cannot_be_had_are_an_error_that_says_what_to_do(
    looks: LookSet, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **how: Any) -> None:
        assert how["pretrained"]
        raise OSError("no route to the hub")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(ThreadlineError, match=r"(?s)no route to the hub.*local file"):
        train_reid_baseline(looks, preset("deepfashion").reid_baseline, workplace("hub"))
    monkeypatch.undo()
    elsewhere = WeightsFile(str(tmp_path / "gone.pth"), "0" * 64)
    with pytest.raises(ThreadlineError, match=r"no file of weights at .*gone\.pth"):
        train_reid_baseline(looks, preset("street2shop", elsewhere).reid_baseline, workplace("file"))


class Started(Exception):  # noqa: N818
    """Two steps are done."""


def stop(progress: Progress) -> None:
    if progress.pictures_per_s is not None and progress.done == 2:
        raise Started


def begun(config: Any) -> Any:
    """`config` without downloads, on batches of four."""
    few = dataclasses.replace(config.schedule, epochs=1, per_epoch=8, batch_size=4, threads=1)
    return dataclasses.replace(config, schedule=few, backbone=dataclasses.replace(config.backbone, pretrained=False))


@pytest.fixture(scope="module")
def dna(looks: LookSet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package of article features, hardly trained."""
    from contracts.model_package import Provenance

    folders = [tmp_path_factory.mktemp(name) for name in ("out", "checkpoints", "pictures", "plots")]
    context = TrainingContext(*folders, lambda _: None, lambda _values, _step: None, Provenance())
    schedule = Schedule(1, 12, threads=1)
    config = begun(FashionDnaConfig((32, 32), schedule, dimension=8, fewest_of_a_value=3))
    train_fashion_dna(looks.articles, config, context)
    yield folders[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["street2shop", "deepfashion"])
def test_a_published_strong_baseline_starts(name: PresetName, looks: LookSet, workplace: Workplace) -> None:
    with pytest.raises(Started):
        train_reid_baseline(looks, begun(preset(name).reid_baseline), workplace(report=stop))


@pytest.mark.slow
def test_their_other_models_start(looks: LookSet, dna: Path, workplace: Workplace) -> None:
    chosen = preset("street2shop")
    other = preset("deepfashion")
    assert dataclasses.replace(other, reid_baseline=chosen.reid_baseline) == chosen, "they differ in the baseline only"
    with pytest.raises(Started):
        train_fashion_dna(looks.articles, begun(chosen.fashion_dna), workplace("dna", report=stop))
    masks = [
        Segmentation(one.photo_id, one.image, one.sha256, one.mask, one.mask_sha256, one.split)
        for one in looks.photos
        if one.mask
    ]
    with pytest.raises(Started):
        train_street2fashion(masks, begun(chosen.street2fashion), workplace("masks", report=stop))
    studio = dataclasses.replace(begun(chosen.studio2shop), probing=Probing(steps=1, batch_size=4))
    with pytest.raises(Started):
        train_matching(looks, dna, None, studio, workplace("studio2shop", report=stop))
