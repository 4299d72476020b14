"""How fast a training learns: `python -m tests.benchmarks.learning`; prints the table of docs/benchmarks.md.

The strong baseline of the preset `workstation`, as `threadline materialize` trains it (loading, augmentation, every
loss, checkpoints), beside a plain float32 loop over the same network: pictures that are in memory already, one loss,
and nothing else. The two take turns, each in a process of its own, for a training changes how its process allocates.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from contracts.files import sha256_of_bytes
from contracts.images import encode_jpeg
from tests.benchmarks.made_up import picture, training_context
from training.configs import Precision, Probing, ReidBaselineConfig
from training.context import Progress
from training.looks import FEWEST
from training.presets import workstation
from training.reid_baseline import train_reid_baseline
from training.reid_encoder import ReidEncoder
from training.sets import ArticleImages, LookPhoto, LookSet

HELD_OUT = 8
"""Articles that are evaluated with, not learnt from."""


@dataclass(frozen=True)
class Given:
    """The training: so many `steps` an epoch with batches of `batch_size`; and the precision of the project's own."""

    steps: int
    batch_size: int
    precision: Precision

    @property
    def config(self) -> ReidBaselineConfig:
        """That of the preset, without what comes before the first step. Of two epochs the second is measured."""
        preset = workstation().reid_baseline
        schedule = replace(preset.schedule, epochs=2, batch_size=self.batch_size, precision=self.precision)
        return replace(preset, schedule=schedule, probing=Probing(steps=0))


def as_trained(given: Given) -> float:
    """The pictures a second of the second epoch, as the training itself reports them."""
    rates: list[float] = []

    def listen(progress: Progress) -> None:
        if progress.pictures_per_s is not None:
            rates.append(progress.pictures_per_s)

    with tempfile.TemporaryDirectory(prefix="threadline-bench-") as folder:
        looks = make_looks(Path(folder), given.steps * given.batch_size // 2, given.config.size)
        train_reid_baseline(looks, given.config, training_context(Path(folder), listen))
    return rates[-1]


def as_plain_loop(given: Given) -> float:
    """The pictures a second of a loop as a tutorial writes it, the first epoch not counted."""
    config, pairs = given.config, given.batch_size // 2
    network = ReidEncoder(config).train()
    optimizer = torch.optim.AdamW([weights for weights in network.parameters() if weights.requires_grad], lr=1e-4)
    pictures = torch.randint(0, 256, (2 * pairs, *config.size, 3), dtype=torch.uint8)
    started = 0.0
    for step in range(2 * given.steps):
        if step == given.steps:
            started = time.perf_counter()
        vectors = F.normalize(network(pictures), dim=1)
        loss = F.cross_entropy(vectors[:pairs] @ vectors[pairs:].T / config.contrast_temperature, torch.arange(pairs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return given.steps * len(pictures) / (time.perf_counter() - started)


def make_looks(folder: Path, articles: int, size: tuple[int, int]) -> LookSet:
    """A photo for each of `articles` to learn from, and a few held out; pictures are a third larger than `size`."""
    random = np.random.default_rng(0)
    rows, photos = [], []
    for number in range(articles + HELD_OUT):
        split = "train" if number < articles else ("val", "test")[number % 2]
        (article, article_digest), (photo, photo_digest) = (
            _write_picture(folder / f"{number}-{kind}.jpg", random, size) for kind in ("article", "photo")
        )
        rows.append(ArticleImages(f"a{number}", (article,), (article_digest,), "dress", {}, split))
        photos.append(LookPhoto(f"p{number}", "street", photo, photo_digest, None, "", (f"a{number}",), split))
    return LookSet(tuple(photos), tuple(rows))


def _write_picture(path: Path, random: np.random.Generator, size: tuple[int, int]) -> tuple[Path, str]:
    data = encode_jpeg(picture(random, (size[0] * 4 // 3, size[1] * 4 // 3)))
    path.write_bytes(data)
    return path, sha256_of_bytes(data)


def measure(given: Given, rounds: int) -> dict[str, list[float]]:
    """The pictures a second of both, in turns."""
    found: dict[str, list[float]] = {"as trained here": [], "plain float32 loop": []}
    for _ in range(rounds):
        for name, work in zip(found, (as_trained, as_plain_loop), strict=True):
            found[name].append(_apart(work, given))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    config = workstation().reid_baseline
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="of an epoch, of which each run has two")
    parser.add_argument(
        "--batch-size", type=int, default=config.schedule.batch_size, help="pictures, half of them photos"
    )
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default=config.schedule.precision)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    given = Given(asked.steps, asked.batch_size, cast("Precision", asked.precision))
    if given.steps * given.batch_size < 2 * FEWEST:
        parser.error(f"an epoch needs {2 * FEWEST} pictures")
    found = measure(given, asked.rounds)
    plain = found["plain float32 loop"]
    height, width = given.config.size
    batches = f"{given.steps} batches of {given.batch_size}, {given.precision}"
    print(
        f"\nStrong baseline, {height} x {width}, {batches}, {asked.rounds} rounds, {os.cpu_count()} cores. Medians.\n"
    )
    print("| loop | pictures a second | beside the plain loop |\n| --- | --- | --- |")
    for name, rates in found.items():
        ratio = statistics.median(rate / other for rate, other in zip(rates, plain, strict=True))
        print(f"| {name} | {statistics.median(rates):.0f} | {ratio:.2f} |")


def _apart(work: Callable[[Given], float], given: Given) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, given).result()


if __name__ == "__main__":
    main()
