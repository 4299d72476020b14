from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label

from serving.person_masks import closer, mask_of, placed, without_specks


def probabilities(seed: int, share: float) -> NDArray[np.float32]:
    """Noise of a random shape, a `share` of which is a person."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 24, 2))
    inside = random.random(shape) < share
    return np.where(inside, random.uniform(0.5, 1, shape), random.uniform(0, 0.49, shape)).astype(np.float32)


def slowly(probability: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """`without_specks` piece by piece."""
    pieces, count = label(probability >= 0.5)
    sizes = [int((pieces == piece).sum()) for piece in range(1, count + 1)]
    cleaned = probability.copy()
    for piece, size in enumerate(sizes, 1):
        if size < least * max(sizes):
            cleaned[pieces == piece] = 0
    return cleaned


@pytest.mark.parametrize("least", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.7, 1.0])
def test_specks_go_as_a_slow_search_of_pieces_says(share: float, least: float) -> None:
    for seed in range(60):
        probability = probabilities(seed, share)
        np.testing.assert_array_equal(without_specks(probability, least), slowly(probability, least))


def test_two_people_stay_and_a_speck_in_the_corner_does_not() -> None:
    probability = np.zeros((64, 48), np.float32)
    probability[10:60, 4:20] = probability[20:60, 28:42] = 0.9
    both = mask_of(probability, (640, 480))
    probability[0:3, 44:48] = 0.9
    np.testing.assert_array_equal(mask_of(probability, (640, 480)), both)
    assert both[:, 280:420].any() and both[:, 40:200].any()


def test_only_somebody_small_in_both_directions_is_looked_at_again() -> None:
    mask = np.zeros((200, 400), np.bool_)
    assert closer(mask, (32, 24)) is None, "nobody"
    mask[80:120, 180:200] = True
    assert closer(mask, (32, 24)) == (72, 176, 128, 204)
    wide = mask.copy()
    wide[100, 20:380] = True
    assert closer(wide, (32, 24)) is None


def test_what_was_seen_closer_lies_where_it_was() -> None:
    part = np.ones((3, 2), np.bool_)
    whole = placed(part, (4, 5, 7, 7), (10, 12))
    assert whole.shape == (10, 12) and whole.sum() == 6 and whole[4:7, 5:7].all()
