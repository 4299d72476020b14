"""The batches of a training: planned by seed and epoch, loaded by seed, epoch, batch and rank."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from contracts.errors import ThreadlineError
from training.gathering import own_part, own_rank, ranks


@dataclass(frozen=True)
class Part:
    """What a rank takes of a batch: the place of the batch, and the members as `plan` names them."""

    epoch: int
    batch: int
    rank: int
    members: Any


class Loading(Dataset[Any]):
    """What `load` makes of a part. The random numbers that it draws depend on seed, epoch, batch and rank only."""

    def __init__(self, load: Callable[[Any], Any], seed: int) -> None:
        self._load, self._seed = load, seed

    def __getitem__(self, part: Part) -> Any:
        with torch.random.fork_rng(devices=[]):
            seeds = np.random.SeedSequence([self._seed, part.epoch, part.batch, part.rank])
            torch.default_generator.manual_seed(int(seeds.generate_state(1)[0]))
            return self._load(part.members)


class Batches:
    """The batches of each epoch: `plan` draws them from (seed, epoch), `load` makes tensors of one.

    What `load` draws from torch's generator depends on (seed, epoch, batch) only, so that a resumed training sees
    what an uninterrupted one would; of several ranks, each loads its own part of every batch. With `workers` so many
    processes load ahead, from the first epoch until `close`, and for that `load` must be picklable.
    """

    def __init__(
        self,
        plan: Callable[[np.random.Generator], Sequence[Any]],
        load: Callable[[Any], Any],
        seed: int,
        workers: int = 0,
    ) -> None:
        self._plan, self._loading, self._seed, self._workers = plan, Loading(load, seed), seed, workers
        self._epoch = 0
        self._length = len(plan(np.random.default_rng([seed, 0])))
        self._ahead: DataLoader[Any] | None = None
        self._reading: Generator[Any, None, None] | None = None
        self.sampler = self  # where Lightning looks for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        if not self._workers:
            return map(self._loading.__getitem__, self.parts())
        self._ahead = self._ahead or DataLoader(
            self._loading,
            sampler=_Parts(self),
            batch_size=None,
            num_workers=self._workers,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # else it would draw from the training's own
            multiprocessing_context="spawn",
            persistent_workers=True,
        )
        self._reading = (batch for batch in self._ahead)
        return self._reading

    def parts(self) -> Iterator[Part]:
        """This rank's part of each batch of the epoch. Raises ThreadlineError where a batch is too small for all."""
        planned = self._plan(np.random.default_rng([self._seed, self._epoch]))
        for number, members in enumerate(planned[: self._length]):
            if ranks() > 1 and len(members) < 2 * ranks():
                raise ThreadlineError(
                    f"a batch of {len(members)} is too small for {ranks()} devices: each needs 2 members",
                    "train on fewer devices",
                )
            yield Part(self._epoch, number, own_rank(), own_part(members))

    def close(self) -> None:
        """Let the workers go, which stay as long as anyone, such as Lightning's trainer, could read on."""
        if self._reading is not None:
            self._reading.close()
        self._ahead = self._reading = None


class _Parts:
    """The parts of whichever epoch comes next, for a DataLoader."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Part]:
        return self._batches.parts()

    def __len__(self) -> int:
        return len(self._batches)


def _unchanged(batch: Any) -> Any:
    return batch
