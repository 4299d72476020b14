"""Two processes that gather learn what one process learns from the joined batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from tests.training.two_ranks import LABELS, learn, rank
from training.gathering import gathered, own_part


@pytest.mark.slow
def test_the_loss_and_gradients_of_two_ranks_are_those_of_one_process(tmp_path: Path) -> None:
    learn(tmp_path / "alone.pt")
    multiprocessing.start_processes(rank, (2, str(tmp_path)), nprocs=2, start_method="spawn")
    alone, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("alone", "rank-0", "rank-1"))
    assert torch.cat([first.pop("rows"), second.pop("rows")]).tolist() == list(range(len(LABELS)))
    alone.pop("rows")
    assert float(alone["loss"]) > 0.5
    for name, expected in alone.items():
        for found in (first, second):
            torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-6, msg=name)


def test_one_process_has_everything() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert gathered(rows) is rows
    assert own_part([1, 2, 3]) == [1, 2, 3]
