"""The boundary F-score beside the distance of every pixel to every other."""

from __future__ import annotations

from itertools import product
from math import hypot

import numpy as np
import pytest

from orchestration.mask_metrics import boundary, boundary_f_score


def slow_boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    """Pixels of the mask with a neighbour inside the picture that is not of it."""
    height, width = mask.shape
    found = set()
    for y, x in product(range(height), range(width)):
        beside = ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1))
        if mask[y, x] and any(0 <= v < height and 0 <= u < width and not mask[v, u] for v, u in beside):
            found.add((y, x))
    return found


def slow_f_score(predicted: np.ndarray, truth: np.ndarray, within_px: float) -> float:
    ours, theirs = slow_boundary(predicted), slow_boundary(truth)

    def near(some: set[tuple[int, int]], others: set[tuple[int, int]]) -> float:
        return sum(min(hypot(y - v, x - u) for v, u in others) <= within_px for y, x in some) / len(some)

    precision, recall = near(ours, theirs), near(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def disc(height: int, width: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


@pytest.mark.parametrize("within_px", [1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_f_score_is_what_all_distances_give(seed: int, within_px: float) -> None:
    random = np.random.default_rng(seed)
    truth = disc(40, 30, (20, 14), 10)
    predicted = disc(40, 30, tuple(random.uniform(10, 24, 2)), random.uniform(5, 14))
    assert {tuple(at) for at in np.argwhere(boundary(predicted)).tolist()} == slow_boundary(predicted)
    expected = slow_f_score(predicted, truth, within_px)
    assert boundary_f_score(predicted, truth, within_px) == pytest.approx(expected)


def test_an_edge_within_the_tolerance_is_right_and_one_beyond_is_not() -> None:
    truth = disc(80, 80, (40, 40), 25)
    assert boundary_f_score(truth, truth) == 1.0
    assert boundary_f_score(np.roll(truth, 3, axis=1), truth) == 1.0
    assert boundary_f_score(disc(80, 80, (40, 40), 15), truth) == 0.0


def test_where_the_photo_cuts_the_person_off_there_is_no_boundary() -> None:
    standing = np.zeros((20, 20), dtype=bool)
    standing[5:, 8:12] = True
    assert not boundary(standing)[-1, 9]
    assert boundary(standing)[5, 9]
    assert not boundary(np.ones((6, 6), dtype=bool)).any()


def test_masks_without_a_boundary() -> None:
    empty, person = np.zeros((9, 9), dtype=bool), disc(9, 9, (4, 4), 2)
    assert boundary_f_score(empty, empty) == 1.0
    assert boundary_f_score(empty, person) == boundary_f_score(person, empty) == 0.0
