"""The processes of one machine that train together: this one is rank 0, the others are started beside it.

They are started afresh and not forked, for this process may have run threads, gradients or a GPU. They share rank 0's
end: when it fails they are stopped, when one of them fails it does too.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import parent_process
from pathlib import Path

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed
from torch.multiprocessing.spawn import ProcessContext, ProcessException, start_processes

from contracts.errors import ThreadlineError
from training.gathering import own_rank, ranks

LONGEST_WAIT = timedelta(hours=6)
"""How long a rank waits for another; it includes what only rank 0 does, such as an evaluation."""

_STAGGER_S = 0.5
"""How long a failure elsewhere may take to be seen here after the connection that it broke."""


def check_devices(devices: int) -> None:
    """Raise ThreadlineError where there are GPUs, and fewer than `devices`. Processors take any number."""
    found = torch.cuda.device_count()
    if found and found < devices:
        raise ThreadlineError(
            f"the training is configured for {devices} devices, and this machine has {found}",
            f"set devices to at most {found}",
        )


@contextmanager
def together(devices: int, follow: Callable[[], None]) -> Iterator[None]:
    """Be rank 0 of `devices`; the others call `follow`, which must be picklable, and are at its end with this block.

    With one device it does nothing. Raises ProcessRaisedException with its traceback where another rank fails.
    """
    if devices == 1:
        yield
        return
    check_devices(devices)
    with tempfile.TemporaryDirectory(prefix="threadline-ranks-") as name:
        folder = Path(name)
        others = start_processes(  # type: ignore[no-untyped-call]
            _follow, (follow, name, devices), nprocs=devices - 1, join=False, start_method="spawn"
        )
        assert isinstance(others, ProcessContext)
        try:
            while not all((folder / f"ready-{rank}").exists() for rank in range(1, devices)):
                _look_after(others)
            (folder / "all-ready").touch()
            _meet(folder, 0, devices)
            yield
            distributed.destroy_process_group()  # the others do the same now, and NCCL may wait for all
            while not others.join():
                pass
        except BaseException as error:
            _blame(others, error)
            raise
        finally:
            for process in others.processes:
                process.kill()
                process.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def strategy() -> DDPStrategy:
    """Lightning's strategy for the ranks that `together` has brought together.

    Buffers are not copied from rank to rank: those behind a gathering are alike, and statistics of normalisation are
    each rank's own, of which those of rank 0 are kept.
    """
    return DDPStrategy(
        cluster_environment=_OneMachine(own_rank(), ranks()), find_unused_parameters=True, broadcast_buffers=False
    )


def _follow(number: int, handed: Callable[[], None], name: str, devices: int) -> None:
    """Be one of the other ranks, the first of which has the `number` 0."""
    folder = Path(name)
    work = copy.deepcopy(handed)  # its tensors lie in memory that is shared with the other ranks
    (folder / f"ready-{number + 1}").touch()
    while not (folder / "all-ready").exists():
        if not _rank_0_lives():
            return
        time.sleep(0.02)
    _meet(folder, number + 1, devices)
    work()
    distributed.destroy_process_group()


def _rank_0_lives() -> bool:
    """Whether the process that started this one still runs: it may have been killed before it was to be told so."""
    parent = parent_process()
    return parent is not None and parent.is_alive()


def _meet(folder: Path, rank: int, devices: int) -> None:
    """Join the process group: NCCL's where there are GPUs, else gloo's."""
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        backend, init_method=f"file://{folder}/meeting", rank=rank, world_size=devices, timeout=LONGEST_WAIT
    )


def _look_after(others: ProcessContext) -> None:
    """Wait a moment, and raise what one of `others` has failed with, or say that it is gone."""
    if others.join(timeout=0.05):
        raise ThreadlineError("another rank of the training ended before it began", "start it again")


def _blame(others: ProcessContext, error: BaseException) -> None:
    """Raise what one of `others` failed with, if that is why this rank did."""
    if isinstance(error, ProcessException) or not isinstance(error, RuntimeError):
        return
    end = time.monotonic() + _STAGGER_S
    while time.monotonic() < end:
        try:
            others.join(timeout=0.05)
        except ProcessException as first:
            raise first from error


class _OneMachine(ClusterEnvironment):
    """Tells Lightning which rank this is, and that the others run already."""

    def __init__(self, rank: int, of: int) -> None:
        super().__init__()
        self._rank, self._of = rank, of

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return 0  # the ranks have met already

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._of

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0
