"""Variants differ from their base in one part, and none of them learns nothing."""

from __future__ import annotations

import dataclasses

import pytest

from training.ablation import BASE, ablation_table, matching_variants, reduced, reid_variants
from training.configs import MatchingConfig, ReidBaselineConfig, Schedule
from training.presets import preset

PUBLISHED = ReidBaselineConfig.as_published("S")
MATCHING = MatchingConfig((32, 32), Schedule(6, 8, per_epoch=100))


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
    assert {BASE, "with refined DNA"} <= set(matching_variants(MATCHING))
    assert "without refined DNA" in matching_variants(dataclasses.replace(MATCHING, refine=True))


def test_no_variant_is_without_any_loss() -> None:
    alone = dataclasses.replace(PUBLISHED, triplet_weight=0.0, center_weight=0.0)
    assert "without identity loss" not in reid_variants(alone) and "with contrast" in reid_variants(alone)


def test_a_reduced_schedule_is_never_longer() -> None:
    assert reduced(MATCHING, 2, 50).schedule == dataclasses.replace(MATCHING.schedule, epochs=2, per_epoch=50)
    assert reduced(MATCHING, 9, None) == MATCHING
    short = reduced(preset("workstation").reid_baseline, 3, None)
    assert (short.early_epochs, short.schedule.epochs) == (2, 3), "it ends on full pictures, as the whole one does"


def test_the_table_compares_with_the_first() -> None:
    table = ablation_table(
        {BASE: {"val/acc_1": 0.5, "val/acc_20": 0.9, "val/map": 0.6}, "without BNNeck": {"val/map": 0.575}, "none": {}}
    )
    assert table.splitlines()[2:] == [
        "| as configured | 50.0 % | 90.0 % | 60.0 % | +0.0 |",
        "| without BNNeck |  |  | 57.5 % | -2.5 |",
        "| none |  |  |  |  |",
    ]
