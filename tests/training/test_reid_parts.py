"""Each part of the strong baseline can be switched, and what is off is not there."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from training.configs import BackboneConfig, ReidBaselineConfig, Schedule
from training.reid_batches import Batch
from training.reid_encoder import ReidEncoder
from training.reid_learner import ReidLearner

SIZE = (32, 32)
CONFIG = ReidBaselineConfig(SIZE, Schedule(1, 4), BackboneConfig(pretrained=False), dimension=8, dropout=0.0)
PARTS = {"identity", "triplet", "center", "contrast", "centroid", "proxy"}
EVERY = dataclasses.replace(CONFIG, centroid_weight=1.0, proxy_weight=1.0)


def batch() -> Batch:
    identity = torch.tensor([0, 0, 1, 1])
    pictures = torch.randint(0, 256, (4, *SIZE, 3), dtype=torch.uint8)
    shows = torch.nn.functional.one_hot(identity, 2).bool()
    return Batch(pictures, identity, torch.tensor([False, True, False, True]), shows)


def losses(config: ReidBaselineConfig) -> tuple[float, dict[str, float]]:
    torch.manual_seed(0)
    learner = ReidLearner(config, 1, 2, None)  # type: ignore[arg-type] - nothing is measured here
    loss, parts = learner.loss(batch())
    return float(loss.detach()), parts


def test_the_loss_is_the_sum_of_its_parts() -> None:
    loss, parts = losses(EVERY)
    assert set(parts) == PARTS
    assert loss == pytest.approx(sum(parts.values()), rel=1e-5)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_weight_scales_its_part_and_0_leaves_it_out(part: str) -> None:
    field = f"{part}_weight"
    _, parts = losses(EVERY)
    _, double = losses(dataclasses.replace(EVERY, **{field: 2 * getattr(EVERY, field)}))
    assert double[part] == pytest.approx(2 * parts[part], rel=1e-4) and parts[part] > 0
    assert set(losses(dataclasses.replace(EVERY, **{field: 0.0}))[1]) == PARTS - {part}


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("centroid_margin", 5.0, "centroid"),
        ("proxy_margin", 0.4, "proxy"),
        ("proxy_scale", 4.0, "proxy"),
        ("label_smoothing", 0.5, "identity"),
    ],
)
def test_options_reach_their_part_alone(option: str, value: float, part: str) -> None:
    _, parts = losses(EVERY)
    _, changed = losses(dataclasses.replace(EVERY, **{option: value}))
    assert {name for name in PARTS if changed[name] != parts[name]} == {part}


def test_without_the_neck_retrieval_sees_what_the_metric_losses_see() -> None:
    pictures = batch().pictures
    for neck in (True, False):
        encoder = ReidEncoder(dataclasses.replace(CONFIG, neck=neck)).train()
        with torch.no_grad():
            assert torch.equal(encoder(pictures), encoder.before_neck(pictures)) != neck


def test_early_epochs_learn_from_smaller_pictures_and_later_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIG, early_epochs=2, early_scale=0.5)
    learner = ReidLearner(config, 1, 2, None)  # type: ignore[arg-type] - nothing is measured here
    seen = []
    backbone = learner.network.backbone
    backbone.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    for epoch in range(3):
        monkeypatch.setattr(ReidLearner, "current_epoch", epoch)
        learner.loss(batch())
    assert seen == [(4, 16, 16, 3), (4, 16, 16, 3), (4, *SIZE, 3)]


def test_a_smaller_picture_shows_the_same() -> None:
    learner = ReidLearner(dataclasses.replace(CONFIG, early_epochs=1, early_scale=0.5), 1, 2, None)  # type: ignore[arg-type] - as above
    halves = torch.zeros((1, *SIZE, 3), dtype=torch.uint8)
    halves[:, :, SIZE[1] // 2 :] = 200
    small = learner.sized(halves)
    assert small.dtype == torch.uint8
    assert small[0, :, 0].unique().tolist() == [0] and small[0, :, -1].unique().tolist() == [200]
