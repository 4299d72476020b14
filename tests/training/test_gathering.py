"""Two processes that gather learn what one process learns from the joined batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from tests.training.two_ranks import CASES, MEANS, learn, learn_as_another_rank
from training.gathering import before_and_in_all, gathered, of_first_rank, own_part, own_weight
from training.ranks import together


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    """What one process, and each of two ranks, find."""
    folder = tmp_path_factory.mktemp("ranks")
    learn(folder / "alone.pt")
    with together(2, partial(learn_as_another_rank, folder)):
        learn(folder / "rank-0.pt")
    return [torch.load(folder / f"{name}.pt") for name in ("alone", "rank-0", "rank-1")]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_loss_and_gradients_of_two_ranks_are_those_of_one_process(
    found: list[dict[str, dict[str, Any]]], case: str
) -> None:
    alone, first, second = (one[case] for one in found)
    assert set(first) == set(second) == set(alone)
    if case in MEANS:
        for step in ("loss 0", "loss 1"):
            assert first[step] != second[step]
            mean = (first.pop(step) + second.pop(step)) / 2
            torch.testing.assert_close(mean, alone.pop(step))
    assert any(name.startswith("gradient") and bool(one.any()) for name, one in alone.items())
    for name, expected in alone.items():
        for other in (first, second):
            torch.testing.assert_close(
                other[name], expected, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
            )


def test_one_process_has_everything() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert gathered(rows) is rows
    assert own_part([1, 2, 3]) == [1, 2, 3]
    assert before_and_in_all(3, rows.device) == (0, 3) and own_weight(3, rows.device) == 1.0
    assert of_first_rank(lambda: "made") == "made"


def _fails() -> None:
    raise ValueError("no picture on this rank")


@pytest.mark.slow
def test_what_another_rank_fails_with_is_raised_here() -> None:
    with pytest.raises(Exception, match="no picture on this rank"), together(2, _fails):
        gathered(torch.zeros(1))
    assert gathered(torch.zeros(1)).shape == (1,), "the ranks are apart again"
