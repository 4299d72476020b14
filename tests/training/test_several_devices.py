"""Several devices, batches a step, workers and bfloat16: the same training, up to what each is allowed to change."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from contracts.errors import ThreadlineError
from tests.training.lines import COUNT, NOISE, Means, Triplets, batches, learner
from training import fashion_dna, matching, reid_baseline, street2fashion
from training.batches import Batches, Loading, Part
from training.configs import (
    BackboneConfig,
    FashionDnaConfig,
    MatchingConfig,
    Probing,
    ReidBaselineConfig,
    Schedule,
    Street2FashionConfig,
)
from training.context import Progress, TrainingContext
from training.fit import Learner, fit
from training.gathering import gathered
from training.ranks import check_devices
from training.samplers import identity_batches, shuffled_batches
from training.sets import LookSet, Segmentation

Workplace = Callable[..., TrainingContext]
SCHEDULE = Schedule(epochs=3, batch_size=10, learning_rate=0.02, threads=1)


class Killed(Exception):  # noqa: N818
    """The process ends here."""


def weights(trained: Learner) -> dict[str, torch.Tensor]:
    return dict(trained.state_dict())


@pytest.mark.slow
def test_two_devices_learn_what_one_learns_from_the_same_batches_and_resume(workplace: Workplace) -> None:
    two = dataclasses.replace(SCHEDULE, devices=2)
    alone, both, cut = learner(Triplets, SCHEDULE), learner(Triplets, two), learner(Triplets, two)
    steps: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.done == 10:
            raise Killed

    with pytest.raises(Killed):
        fit(cut, batches(two), workplace("two", report=kill), "triplets")
    assert gathered(torch.zeros(3)).shape == (3,), "no rank is left behind"
    curves = fit(both, batches(two), workplace("two", report=lambda p: steps.append(p.done)), "triplets")
    assert min(steps) == 9, "two finished epochs of four steps are not repeated"
    assert curves["train/loss"] == pytest.approx(
        fit(alone, batches(SCHEDULE), workplace("one"), "triplets")["train/loss"]
    )
    for name, expected in weights(alone).items():
        torch.testing.assert_close(weights(both)[name], expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(weights(alone)["encoder.0.weight"], weights(learner(Triplets, two))["encoder.0.weight"])


@pytest.mark.slow
def test_workers_load_what_the_training_itself_would(workplace: Workplace) -> None:
    ahead = dataclasses.replace(SCHEDULE, workers=2)
    one, other = learner(Triplets, SCHEDULE), learner(Triplets, ahead)
    loaded = batches(ahead, NOISE)
    assert fit(one, batches(SCHEDULE, NOISE), workplace("one"), "l") == fit(other, loaded, workplace("other"), "l")
    for name, expected in weights(one).items():
        assert torch.equal(weights(other)[name], expected)
    assert not torch.multiprocessing.active_children(), "the workers have gone"


def test_ranks_draw_random_numbers_of_their_own_and_one_device_is_the_first() -> None:
    loading = Loading(lambda _: torch.rand(4), seed=3)
    drawn = [loading[Part(1, 2, rank, [])] for rank in (0, 1)]
    assert not torch.equal(*drawn)
    torch.manual_seed(int(np.random.SeedSequence([3, 1, 2]).generate_state(1)[0]))
    assert torch.equal(drawn[0], torch.rand(4)), "the place of a batch alone seeds one device"


def test_accumulated_batches_are_a_larger_one_for_a_mean_over_members(workplace: Workplace) -> None:
    parts = dataclasses.replace(SCHEDULE, batch_size=5, accumulate=2)
    whole, summed = learner(Means, SCHEDULE), learner(Means, parts)
    assert whole.steps == summed.steps == 12
    done: list[int] = []
    fit(whole, batches(SCHEDULE), workplace("whole"), "means")
    fit(summed, batches(parts), workplace("parts", report=lambda progress: done.append(progress.done)), "means")
    assert max(done) == 12
    for name, expected in weights(whole).items():
        torch.testing.assert_close(weights(summed)[name], expected, rtol=1e-4, atol=1e-5)


def test_networks_run_in_bfloat16_and_losses_do_not(workplace: Workplace) -> None:
    half = dataclasses.replace(SCHEDULE, epochs=1, precision="bfloat16")
    trained = learner(Triplets, half)
    fit(trained, batches(half), workplace(), "triplets")
    assert trained.seen == [torch.bfloat16, torch.float32] * (COUNT // 10)
    assert all(one.dtype == torch.float32 for one in trained.parameters())


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"accumulate": 0}, {"workers": -1}, {"devices": 6}])
def test_a_schedule_refuses_what_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="devices"):
        dataclasses.replace(SCHEDULE, **wrong)  # type: ignore[arg-type]


def test_more_devices_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices(2)
    with pytest.raises(ThreadlineError, match="4 devices, and this machine has 2"):
        check_devices(4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    check_devices(4)


def test_a_last_batch_is_large_enough_for_every_device() -> None:
    rng = np.random.default_rng(0)
    assert [len(batch) for batch in shuffled_batches(23, 10, None, rng, fewest=4)] == [10, 13]
    members = [([one], [100 + one]) for one in range(10)]
    sizes = [len(batch) for batch in identity_batches(members, 4, 2, None, rng, fewest=6)]
    assert sizes == [8, 12], "a last one of two identities has four members"


SIZE = (64, 48)
SHORT = Schedule(epochs=1, batch_size=6, threads=1, devices=2)
SMALL = BackboneConfig(pretrained=False, levels=(1, 2))
NONE = Probing(steps=0)


class Caught(Exception):  # noqa: N818
    """What another rank would be given."""


def test_what_a_training_hands_to_other_ranks_can_be_handed(
    looks: LookSet, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def catch(learner: Learner, batches: Batches, *_: Any) -> None:
        raise Caught(learner, batches)

    for module in (fashion_dna, reid_baseline, street2fashion):
        monkeypatch.setattr(module, "fit", catch)
    masks = [
        Segmentation(one.photo_id, one.image, one.sha256, one.mask, one.mask_sha256, one.split)
        for one in looks.photos
        if one.mask
    ]
    trainings: list[Callable[[], Any]] = [
        lambda: reid_baseline.train_reid_baseline(
            looks, ReidBaselineConfig(SIZE, SHORT, SMALL, dimension=8, probing=NONE), workplace("reid")
        ),
        lambda: fashion_dna.train_fashion_dna(
            looks.articles, FashionDnaConfig(SIZE, SHORT, SMALL, dimension=8, fewest_of_a_value=3), workplace("dna")
        ),
        lambda: street2fashion.train_street2fashion(
            masks, Street2FashionConfig((64, 64), SHORT, BackboneConfig(pretrained=False), (8,) * 5), workplace("masks")
        ),
    ]
    for training in trainings:
        with pytest.raises(Caught) as caught:
            training()
        handed = pickle.dumps(caught.value.args)
        there, loaded = pickle.loads(handed)  # noqa: S301 - just written
        assert len(handed) < 40e6 and isinstance(there, Learner)
        first, again = (next(iter(one)) for one in (caught.value.args[1], loaded))
        assert torch.equal(first[0], again[0])


def test_matching_loaders_can_be_handed_to_other_ranks(looks: LookSet, workplace: Workplace) -> None:
    context = workplace()
    photos = matching.photo_pictures(looks.photos, SIZE, "plain", context)
    images, owners = matching.article_pictures(looks.articles, SIZE, context)
    gallery = matching.Gallery(images, owners, np.zeros((len(looks.articles), 4), np.float32), SIZE, owners)
    shown = [[row] for row in range(len(looks.photos))]
    config = MatchingConfig(SIZE, SHORT, SMALL)
    for loader in (
        matching.fixed_loader(photos, matching.Assortment(range(5), shown, 4), config),
        matching.refining_loader(photos, shown, gallery, config),
    ):
        there = pickle.loads(pickle.dumps(loader))  # noqa: S301 - just written
        found = [Loading(one, 1)[Part(0, 0, 0, np.array([1, 4, 2]))] for one in (loader, there)]
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
