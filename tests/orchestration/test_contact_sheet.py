"""What a contact sheet shows, and which queries it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.contact_sheet import SMALL_TILE, Found, SheetRow, draw_sheet
from orchestration.ranking import Ranking
from orchestration.report_sheets import choose_queries

GREEN = (24, 150, 70)


def plain(colour: int) -> np.ndarray:
    return np.full((40, 30, 3), colour, dtype=np.uint8)


def lines_with(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The rows of pixels that hold the colour."""
    return np.flatnonzero((sheet == colour).all(axis=2).any(axis=1))


def test_only_the_right_articles_are_framed_in_green() -> None:
    found = [Found(plain(90), "a", False), Found(plain(90), "b", None)]
    assert lines_with(draw_sheet([SheetRow(plain(200), None, found)]), GREEN).size == 0
    right = draw_sheet([SheetRow(plain(200), None, [*found, Found(plain(90), "c", True)])])
    assert lines_with(right, GREEN).size > 0


def test_fifty_articles_take_five_lines_and_the_next_query_comes_below_them() -> None:
    many = SheetRow(plain(200), None, [Found(plain(90), str(n), n == 49) for n in range(50)])
    one = SheetRow(plain(200), plain(100), [Found(plain(90), "0")])
    alone, both = draw_sheet([many], SMALL_TILE), draw_sheet([many, one], SMALL_TILE)
    line = draw_sheet([one], SMALL_TILE).shape[0]
    assert alone.shape[0] - 5 * line == pytest.approx(0, abs=5 * 8)
    assert both.shape[0] > alone.shape[0]
    assert lines_with(alone, GREEN).min() > 4 * alone.shape[0] / 5 - line / 5
    assert both.shape[1] > alone.shape[1]  # a column more, for the segmented photo


def test_queries_are_chosen_at_random_best_and_worst_and_always_the_same() -> None:
    first = np.array([0, 1, 7, 1, 30, 2, 0, 12])
    precision = np.where(first > 0, 1 / np.maximum(first, 1), 0.0)
    precision[3] = 0.6
    ranking = Ranking(first, precision, precision, np.full(8, 40))
    chosen = choose_queries(ranking, 2)
    assert chosen["best"] == [1, 3]
    assert chosen["worst"] == [4, 7]
    assert set(chosen["random"]) <= {1, 2, 3, 4, 5, 7}
    assert choose_queries(ranking, 2) == chosen
    assert set(choose_queries(ranking, 100)["random"]) == {1, 2, 3, 4, 5, 7}
