"""Studio photos cut out and set before street backgrounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.images import Picture, decode, encode_jpeg
from contracts.masks import Mask
from orchestration.compositing import SIZE, Composite, compose, has_room
from orchestration.cutout import CannotCutOut, Cutout, cut_out
from orchestration.sources.wardrobe import Domain, Scene, make_garment, plan_outfits, render_scene

PEOPLE = 6


def render(domain: Domain, count: int) -> list[Scene]:
    outfits = plan_outfits([make_garment(5, number) for number in range(40)], 5, 1)[:count]
    return [render_scene(outfit, 5, index, domain, (320, 240)) for index, outfit in enumerate(outfits)]


@pytest.fixture(scope="module")
def studio() -> list[Scene]:
    return render("studio", PEOPLE)


@pytest.fixture(scope="module")
def cutouts(studio: Sequence[Scene]) -> list[Cutout]:
    return [cut_out(decode(encode_jpeg(scene.picture, 75))) for scene in studio]


@pytest.fixture(scope="module")
def street() -> Scene:
    return next(scene for scene in render("street", 12) if has_room(scene.mask))


def figure(shirt: int, backdrop: int = 225) -> tuple[Picture, Mask]:
    """Somebody with dark head and legs, arms akimbo, in a shirt of that grey, whom the lower border cuts."""
    mask = np.zeros((256, 192), dtype=np.bool_)
    mask[30:70, 80:112] = mask[70:180, 60:132] = mask[180:, 66:126] = True
    mask[80:150, 36:46] = mask[80:92, 36:60] = mask[138:150, 36:60] = True
    picture = np.full((256, 192, 3), backdrop, dtype=np.float64)
    picture[mask] = 60
    picture[70:180, 60:132] = shirt
    picture *= np.linspace(1, 0.93, 192)[None, :, None]  # lit from one side
    picture += np.random.default_rng(0).normal(0, 1, size=picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), mask


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def stand(person: Cutout, street: Scene, seed: int) -> Composite:
    return compose(person, street.picture, street.mask, np.random.default_rng(seed))


def test_the_cut_follows_the_exact_mask(studio: Sequence[Scene], cutouts: Sequence[Cutout]) -> None:
    overlaps = [overlap(person.mask, scene.mask) for scene, person in zip(studio, cutouts, strict=True)]
    assert np.median(overlaps) >= 0.95
    assert min(overlaps) >= 0.85


@pytest.mark.parametrize("shirt", [30, 150, 252])
def test_a_shirt_almost_as_light_as_the_wall_is_kept_and_the_gap_at_the_arm_is_open(shirt: int) -> None:
    picture, mask = figure(shirt)
    found = cut_out(picture).mask
    assert overlap(found, mask) >= 0.95
    assert found[75:175, 65:127].all()
    assert not found[98:132, 49:57].any()


def test_no_light_of_the_backdrop_is_left_at_the_edge() -> None:
    picture, _ = figure(60)
    person = cut_out(picture)
    seen = person.opacity > 0.02
    assert person.colours[seen].max() < 80


def test_a_photo_without_a_plain_backdrop_or_without_anybody_cannot_be_cut() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (256, 192, 3), dtype=np.uint8)
    for picture in (noise, np.full((256, 192, 3), 230, dtype=np.uint8)):
        with pytest.raises(CannotCutOut):
            cut_out(picture)


def test_a_seed_repeats_its_composite_and_another_gives_another(cutouts: Sequence[Cutout], street: Scene) -> None:
    first, again, other = (stand(cutouts[3], street, seed) for seed in (1, 1, 2))
    assert first.picture.shape == (*SIZE, 3) and first.mask.shape == SIZE
    assert np.array_equal(first.picture, again.picture) and np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.picture, other.picture)


def test_nothing_of_the_person_is_left_out(cutouts: Sequence[Cutout], street: Scene) -> None:
    for seed, person in enumerate(cutouts):
        mask = stand(person, street, seed).mask
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        before = [np.flatnonzero(person.mask.any(axis=axis)) for axis in (1, 0)]
        aspect, as_was = (np.ptp(down) / np.ptp(across) for down, across in ((rows, columns), before))
        assert aspect == pytest.approx(as_was, rel=0.05)
        shares = [
            one.sum() / (np.ptp(down) * np.ptp(across))
            for one, down, across in ((mask, rows, columns), (person.mask, *before))
        ]
        assert shares[0] == pytest.approx(shares[1], rel=0.05)


def test_who_is_cut_at_the_hips_stands_at_the_lower_border_at_a_scale_of_their_own(street: Scene) -> None:
    person = cut_out(figure(150)[0])
    masks = [stand(person, street, seed).mask for seed in range(6)]
    tall = [int(mask.any(axis=1).sum()) / SIZE[0] for mask in masks]
    assert all(mask[-1].any() for mask in masks)
    assert all(0.54 <= share <= 0.91 for share in tall)
    assert len(set(tall)) > 3


def test_the_background_holds_nobody_of_the_street_photo(street: Scene) -> None:
    painted = street.picture.copy()
    painted[street.mask] = (255, 0, 255)
    composite = compose(cut_out(figure(60)[0]), painted, street.mask, np.random.default_rng(4))
    red, green, blue = composite.picture.astype(np.int64)[~composite.mask].T
    assert not ((red > 200) & (green < 60) & (blue > 200)).any()


def test_a_photo_that_its_person_fills_has_no_room() -> None:
    mask = np.zeros((100, 80), dtype=np.bool_)
    assert has_room(mask)
    mask[20:, 5:75] = True
    assert not has_room(mask)
