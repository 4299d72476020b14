"""Variants differ from their base in one part, and none of them learns nothing."""

from __future__ import annotations

import dataclasses

import pytest

from training.ablation import (
    BASE,
    OnOtherDna,
    ablation_table,
    matching_variants,
    reduced,
    reid_variants,
    with_seed,
)
from training.configs import FashionDnaConfig, MatchingConfig, ReidBaselineConfig, Schedule
from training.presets import preset

PUBLISHED = ReidBaselineConfig.as_published("S")
MATCHING = MatchingConfig((32, 32), Schedule(6, 8, per_epoch=100))
DNA = FashionDnaConfig((32, 32), Schedule(6, 8))
ATTRIBUTES = dataclasses.replace(DNA, instance_weight=0.0)


@pytest.mark.parametrize("config", [PUBLISHED, preset("workstation").reid_baseline, preset("demo").reid_baseline])
def test_each_variant_differs_in_one_field(config: ReidBaselineConfig) -> None:
    variants = reid_variants(config)
    assert variants.pop(BASE) == config
    for name, variant in variants.items():
        differing = [f.name for f in dataclasses.fields(config) if getattr(variant, f.name) != getattr(config, f.name)]
        assert len(differing) == 1, name


def test_every_published_part_is_taken_out_and_every_other_put_in() -> None:
    published = ("last stride 1", "BNNeck", "label smoothing", "triplet loss", "center loss", "warm-up")
    others = ("centroid triplet loss", "Proxy-Anchor", "contrast", "test-time flip")
    expected = {*(f"without {part}" for part in published), *(f"with {part}" for part in others)}
    assert expected <= set(reid_variants(PUBLISHED))
    assert {BASE, "with refined DNA"} <= set(matching_variants(MATCHING, DNA))
    assert "without refined DNA" in matching_variants(dataclasses.replace(MATCHING, refine=True), DNA)


def test_no_variant_is_without_any_loss() -> None:
    alone = dataclasses.replace(PUBLISHED, triplet_weight=0.0, center_weight=0.0)
    assert "without identity loss" not in reid_variants(alone) and "with contrast" in reid_variants(alone)


def test_a_reduced_schedule_is_never_longer() -> None:
    assert reduced(MATCHING, 2, 50).schedule == dataclasses.replace(MATCHING.schedule, epochs=2, per_epoch=50)
    assert reduced(MATCHING, 9, None) == MATCHING
    short = reduced(preset("workstation").reid_baseline, 3, None)
    assert (short.early_epochs, short.schedule.epochs) == (2, 3), "it ends on full pictures, as the whole one does"


def test_a_matching_model_is_tried_on_the_other_kind_of_dna() -> None:
    assert matching_variants(MATCHING, DNA)["on DNA of attributes alone"] == OnOtherDna(MATCHING, ATTRIBUTES)
    assert matching_variants(MATCHING, ATTRIBUTES)["on DNA that tells articles apart"] == OnOtherDna(MATCHING, DNA)
    short = reduced(OnOtherDna(MATCHING, ATTRIBUTES), 2, 50)
    assert short == OnOtherDna(reduced(MATCHING, 2, 50), ATTRIBUTES), "the DNA is as good as it gets"


def test_another_seed_is_all_that_differs() -> None:
    assert with_seed(MATCHING, 0) == MATCHING
    further = with_seed(MATCHING, 2)
    assert further.schedule == dataclasses.replace(MATCHING.schedule, seed=MATCHING.schedule.seed + 2)
    assert with_seed(OnOtherDna(MATCHING, DNA), 2) == OnOtherDna(further, DNA)


def test_the_table_compares_with_the_first() -> None:
    base = {"val/acc_1": 0.5, "val/acc_20": 0.9, "val/map": 0.6}
    table = ablation_table({BASE: [base], "without BNNeck": [{"val/map": 0.575}], "none": [{}]})
    assert table.splitlines()[2:] == [
        "| as configured | 50.0 % | 90.0 % | 60.0 % | +0.0 |",
        "| without BNNeck |  |  | 57.5 % | -2.5 |",
        "| none |  |  |  |  |",
    ]


def test_several_seeds_are_told_by_mean_and_range() -> None:
    base = [{"val/acc_1": one, "val/acc_20": 0.9, "val/map": one} for one in (0.5, 0.6, 0.52)]
    table = ablation_table({BASE: base, "other": [{"val/map": 0.5}, {"val/map": 0.6}]})
    assert table.splitlines()[2:] == [
        "| as configured | 54.0 % (50.0 to 60.0) | 90.0 % (90.0 to 90.0) | 54.0 % (50.0 to 60.0) | +0.0 |",
        "| other |  |  | 55.0 % (50.0 to 60.0) | +1.0 |",
    ]
