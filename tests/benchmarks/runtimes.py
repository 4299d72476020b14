"""Every runtime of this machine: `python -m tests.benchmarks.runtimes PACKAGE`; prints tables for docs/benchmarks.md.

Rendered photos and articles that no model has seen go through the package in each runtime: how far the vectors and what
is found differ from float32, and what one photo costs by itself and four at a time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ThreadlineError
from contracts.images import Picture, read
from orchestration.evaluation import Embedded, embed_looks
from orchestration.home import Home
from orchestration.measuring import gather_looks
from orchestration.ranking import rank
from orchestration.silence import silent
from serving.inference import PackageSession
from serving.runtimes import RUNTIMES
from training.sets import LookSet

REFERENCE = "onnxruntime-float32"
TOGETHER = 4
ROUNDS = 8


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="the folder of a matching package")
    parser.add_argument("--limit", type=int, default=1000, help="how many rendered garments")
    parser.add_argument("--seed", type=int, default=2026, help="of the rendered wardrobe")
    parser.add_argument("--threads", type=int, help="of an inference; all cores unless given")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        looks = gather_looks(("sample", str(asked.seed)), (), Path(folder), silent, asked.limit).looks
        sessions = _sessions(asked.package, asked.threads)
        _print_agreement(sessions, looks, Path(folder))
        _print_times(sessions, looks)


def _sessions(package: Path, threads: int | None) -> dict[str, PackageSession]:
    """The package in each runtime that can be used here, the reference first."""
    sessions = {}
    for runtime in (REFERENCE, *(name for name in RUNTIMES if name != REFERENCE)):
        try:
            sessions[runtime] = PackageSession(package, threads=threads, runtime=runtime)
        except ThreadlineError as error:
            print(f"{runtime}: {error.problem}")
    return sessions


def _print_agreement(sessions: dict[str, PackageSession], looks: LookSet, folder: Path) -> None:
    embedded = {name: _embedded(session, looks, folder / name) for name, session in sessions.items()}
    exact = embedded[REFERENCE]
    print(f"\n{len(exact.queries)} photos, {len(exact.gallery)} articles\n")
    columns = ["cosine of photos: mean", "lowest", "of articles: mean", "lowest", "Acc@1", "Acc@20"]
    print(f"| runtime | {' | '.join(columns)} |\n{'| --- ' * 7}|")
    for name, one in embedded.items():
        cosines = [*_cosines(one.queries, exact.queries), *_cosines(one.gallery, exact.gallery)]
        cells = [*(f"{value:.4f}" for value in cosines), *(f"{100 * value:.2f} %" for value in _recall(one))]
        print(f"| {name} | {' | '.join(cells)} |")


def _embedded(session: PackageSession, looks: LookSet, place: Path) -> Embedded:
    return embed_looks(session, looks, Home(place), silent)


def _cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """The mean and the lowest cosine, row by row."""
    cosines = (one * other).sum(axis=1)
    return float(cosines.mean()), float(cosines.min())


def _recall(embedded: Embedded) -> list[float]:
    rows = list(range(len(embedded.photos)))
    ranking = rank(embedded.queries, embedded.gallery, embedded.relevant(rows))
    first = ranking.first[ranking.matched]
    return [float((first <= k).mean()) for k in (1, 20)]


def _print_times(sessions: dict[str, PackageSession], looks: LookSet) -> None:
    """One by one and together in turns, so that whatever else the machine does falls on both."""
    pictures = [read(photo.image) for photo in looks.photos[:TOGETHER]]
    print(f"\n| runtime | one photo at a time | {TOGETHER} at once, a photo | saved |\n| --- | --- | --- | --- |")
    for name, session in sessions.items():
        session.photo_vectors(pictures)
        alone, together = [], []
        for _ in range(ROUNDS):
            alone.append(_cpu_ms(partial(_one_by_one, session, pictures)))
            together.append(_cpu_ms(partial(session.photo_vectors, pictures)))
        one, four = statistics.median(alone), statistics.median(together)
        print(f"| {name} | {one:.1f} ms | {four:.1f} ms | {100 * (1 - four / one):.0f} % |")


def _one_by_one(session: PackageSession, pictures: list[Picture]) -> None:
    for picture in pictures:
        session.photo_vectors([picture])


def _cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time a photo, over all threads: on a busy machine the wall time tells little."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start) / TOGETHER


if __name__ == "__main__":
    main()
