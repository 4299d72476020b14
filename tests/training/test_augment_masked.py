from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.images import WHITE
from training.augment_masked import MaskedAugmentation, before, feathered, framed, free_columns, piece_of

SIZE = (48, 32)
HEIGHT, WIDTH = 72, 48
HEAD, FEET = 200, 40


def record(background: int = 120) -> Tensor:
    """Somebody upright before a plain ground: red tells how far down, from head to feet; the mask is exact."""
    made = torch.full((4, HEIGHT, WIDTH), background, dtype=torch.uint8)
    made[3] = 0
    down = torch.linspace(HEAD, FEET, 64).round().to(torch.uint8)[:, None].expand(64, 16)
    made[:, 4:68, 16:32] = torch.stack(
        [down, torch.zeros_like(down), torch.zeros_like(down), torch.full_like(down, 255)]
    )
    return made


def views(count: int, other: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    augmentation = MaskedAugmentation(SIZE)
    return [augmentation(record(), record() if other is None else other) for _ in range(count)]


def test_shapes_and_types_and_a_seed_fixes_the_result() -> None:
    for (view, person), (again, the_same) in zip(views(20), views(20), strict=True):
        assert view.shape == (3, *SIZE) and view.dtype == torch.uint8
        assert person.shape == (1, *SIZE) and person.dtype == torch.bool
        assert torch.equal(view, again) and torch.equal(person, the_same)


def test_a_mask_moves_with_its_picture() -> None:
    """Only the person has no green, whatever the light."""
    for view, person in views(100):
        if 0 < int(person.sum()) < person.numel():
            assert view[1][person[0]].float().mean() + 20 < view[1][~person[0]].float().mean()


def test_frames_show_heads_alone_and_feet_alone_and_whole_people() -> None:
    torch.manual_seed(0)
    seen = {"head": 0, "feet": 0, "whole": 0, "wide": 0}
    for _ in range(400):
        part = framed(record(), SIZE)
        red = part[0][part[3] >= 128]
        top, bottom = bool((red > HEAD - 15).any()), bool((red < FEET + 15).any())
        seen["head"] += top and not bottom
        seen["feet"] += bottom and not top
        seen["whole"] += top and bottom
        seen["wide"] += bool((part[:3, 0] == WHITE).all() and (part[:3, -1] == WHITE).all())
    assert {name: count >= 30 for name, count in seen.items()} == dict.fromkeys(seen, True), seen


def test_what_is_framed_is_as_sharp_as_the_record() -> None:
    """A half of a record that has more pixels than the picture is not scaled up."""
    torch.manual_seed(0)
    stripes = record()
    stripes[0] = 255 * (torch.arange(HEIGHT) // 2 % 2)[:, None]
    contrast = [float(framed(stripes, SIZE)[0].float().std()) for _ in range(50)]
    assert max(contrast) > 100


def test_somebody_before_another_background_has_it_up_to_the_edge() -> None:
    torch.manual_seed(0)
    scene = torch.full((3, 50, 20), 240, dtype=torch.uint8)
    shares = []
    for _ in range(100):
        placed = before(record(), scene, SIZE)
        person = placed[3] >= 128
        assert person.any()
        assert set(placed[1][~person].unique().tolist()) <= set(range(120, 241)), "nothing of the old ground is left"
        assert (placed[1][person] < 121).all()
        rows = torch.nonzero(person.any(dim=1)).flatten()
        shares.append(len(rows) / SIZE[0])
    assert min(shares) < 0.5 and max(shares) > 0.9


def test_who_is_cut_off_below_stays_so() -> None:
    torch.manual_seed(0)
    cut = record()[:, :50]
    assert all(bool((before(cut, record()[:3], SIZE)[3, -1] >= 128).any()) for _ in range(20))


def test_a_record_without_anybody_gives_a_scene_without_anybody() -> None:
    empty = record()
    empty[3] = 0
    assert not (before(empty, record()[:3], SIZE)[3] > 0).any()
    assert framed(empty, SIZE).shape == (4, *SIZE)


def test_the_columns_beside_people_hold_nobody_and_no_bars() -> None:
    barred = torch.full((4, HEIGHT, WIDTH + 20), WHITE, dtype=torch.uint8)
    barred[3] = 0
    barred[:, :, 10:-10] = record()
    free = free_columns(barred)
    assert free is not None and free.shape == (3, HEIGHT, 16)
    assert (free == 120).all()
    full = record()
    full[3] = 255
    assert free_columns(full) is None


@pytest.mark.parametrize("width", [5, 30, 200])
def test_a_piece_of_a_scene_fills_the_picture(width: int) -> None:
    torch.manual_seed(0)
    scene = torch.randint(1, 200, (3, 60, width), dtype=torch.uint8)
    piece = piece_of(scene, SIZE)
    assert piece.shape == (3, *SIZE) and int(piece.min()) >= 1 and int(piece.max()) < 200


def test_opacity_against_a_slow_reference() -> None:
    mask = (np.random.default_rng(0).random((14, 11)) < 0.8).astype(np.uint8) * 255
    inner = np.array([[_near(mask, r, c).min() for c in range(11)] for r in range(14)])
    wanted = np.array([[_near(inner, r, c).mean() for c in range(11)] for r in range(14)]) / 255
    np.testing.assert_allclose(feathered(torch.from_numpy(mask)).numpy(), wanted, atol=1e-6)


def test_light_blur_and_compression_change_what_is_seen_and_not_where() -> None:
    torch.manual_seed(0)
    augmentation = MaskedAugmentation(SIZE)
    changed = [len(view.unique()) for view, _ in (augmentation(record(), record()) for _ in range(60))]
    assert np.mean(np.array(changed) > 100) > 0.2, "noise and compression bring in values that a record has not"


def _near(values: np.ndarray, row: int, column: int) -> np.ndarray:
    near: np.ndarray = values[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return near
