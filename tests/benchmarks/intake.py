"""How fast pictures come in: copied, looked at and accepted, and kept at training size, in pictures a second.

    python -m tests.benchmarks.intake PATH [--limit 1500]

PATH is a directory in VITON's layout. Nothing stays: the workspace is a temporary one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contracts.batches import Kind, read_catalogue_batch, read_street_batch
from contracts.quiet import nothing_phones_home
from orchestration import dvc_data
from orchestration.intake import accept
from orchestration.places import Places
from orchestration.sources.viton import deliver_viton
from training.pictures import PictureStore, Source

SIZE = (160, 120)
KINDS: tuple[Kind, ...] = ("catalogue", "street")


@dataclass(frozen=True)
class Step:
    """What a step took: seconds on the clock, and seconds of all cores."""

    name: str
    wall_s: float
    cpu_s: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="How fast pictures are imported, validated and cached.")
    parser.add_argument("path", type=Path, help="a directory with person/, cloth/ and pairs.csv")
    parser.add_argument("--limit", type=int, default=1500, help="how many pairs; two pictures each")
    given = parser.parse_args()
    nothing_phones_home()
    with tempfile.TemporaryDirectory() as folder:
        pictures, steps = measure(Path(folder), given.path, given.limit)
    total = Step("together", sum(step.wall_s for step in steps), sum(step.cpu_s for step in steps))
    print(f"| step, {pictures:,} pictures | wall time | CPU time | pictures a second |")
    print("| --- | --- | --- | --- |")
    for step in (*steps, total):
        print(f"| {step.name} | {step.wall_s:.1f} s | {step.cpu_s:.1f} s | {pictures / step.wall_s:.0f} |")


def measure(root: Path, path: Path, limit: int) -> tuple[int, list[Step]]:
    """Import `path` into a new workspace at `root`; the number of pictures, and what each step took."""
    dvc_data.init(root)
    places = Places(root)
    into = [places.delivered(kind, "bench") for kind in KINDS]
    steps = [timed("copying into a delivery", lambda: deliver_viton(path, *into, limit=limit))]
    for kind in KINDS:
        steps.append(timed(f"verdict and acceptance, {kind}", lambda kind=kind: accept(places, kind, "bench", "bench")))
    sources = pictures_of(places)
    steps.append(timed("decoding and caching", lambda: PictureStore(root / "pictures", SIZE).take(sources)))
    return len(sources), steps


def pictures_of(places: Places) -> list[Source]:
    """Every accepted picture."""
    catalogue, street = (places.accepted(kind, "bench") for kind in KINDS)
    articles = read_catalogue_batch(catalogue).articles
    images = [Source(catalogue / article.images[0], article.sha256[0]) for article in articles]
    return images + [Source(street / photo.image, photo.sha256) for photo in read_street_batch(street).photos]


def timed(name: str, work: Callable[[], object]) -> Step:
    """What `work` takes."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    work()
    return Step(name, time.perf_counter() - wall, sum(os.times()[:4]) - cpu)


if __name__ == "__main__":
    main()
