"""The sample: a rendered wardrobe as a catalogue batch and a street batch, of any size, the same for the same seed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from contracts.batches import Article, Box, Pair, Photo, write_catalogue_batch, write_street_batch
from contracts.files import new_directory, sha256_of_bytes
from contracts.images import Size, encode_jpeg
from contracts.masks import encode_mask
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.report import ImportReport
from orchestration.sources.wardrobe import Domain, Garment, make_garment, plan_outfits, render_packshot, render_scene

JPEG_QUALITY = 75
CHUNK = 8

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SampleSize:
    """How much is rendered. `photos_each` counts the photos a garment is in, studio and street in turn."""

    garments: int = 240
    packshots_each: int = 1
    photos_each: int = 2
    packshot: Size = (256, 192)
    photo: Size = (320, 240)


@dataclass(frozen=True)
class _Packshot:
    batch: Path
    garment: Garment
    seed: int
    views: int
    size: Size


@dataclass(frozen=True)
class _Shoot:
    batch: Path
    outfit: tuple[Garment, ...]
    seed: int
    index: int
    domain: Domain
    size: Size


def deliver_sample(
    into_catalogue: Path,
    into_street: Path,
    progress: Reporter = silent,
    *,
    seed: int = 0,
    size: SampleSize | None = None,
    first: int = 0,
    workers: int | None = None,
) -> ImportReport:
    """Render garments `first`, `first + 1`, … of the wardrobe `seed`, and people who wear them.

    Any `first` gives other garments and other photos, so that a second call can be a later delivery. `workers` is the
    number of processes (default: one a core; 1 renders in this one).
    """
    size = size or SampleSize()
    garments = [make_garment(seed, first + number) for number in range(size.garments)]
    with new_directory(into_catalogue) as catalogue, new_directory(into_street) as street:
        (catalogue / "images").mkdir()
        (street / "images").mkdir()
        (street / "masks").mkdir()
        packshots = [_Packshot(catalogue, one, seed, size.packshots_each, size.packshot) for one in garments]
        shoots = _plan(street, garments, seed, first, size)
        articles = _run(_take_packshots, packshots, "rendering articles", progress, workers)
        taken = _run(_take_photo, shoots, "rendering photos", progress, workers)
        pairs = [pair for _, shown in taken for pair in shown]
        write_catalogue_batch(catalogue, articles)
        write_street_batch(street, [photo for photo, _ in taken], pairs)
    report = ImportReport("sample")
    report.taken.update(articles=len(articles), photos=len(taken), masks=len(taken), pairs=len(pairs))
    return report


def _plan(batch: Path, garments: Sequence[Garment], seed: int, first: int, size: SampleSize) -> list[_Shoot]:
    """One shoot an outfit; every other round of outfits is in the studio."""
    outfits = plan_outfits(garments, seed, size.photos_each)
    a_round = max(1, len(outfits) // max(1, size.photos_each))
    start = first * size.photos_each
    return [
        _Shoot(batch, outfit, seed, start + number, "studio" if number // a_round % 2 else "street", size.photo)
        for number, outfit in enumerate(outfits)
    ]


def _run(
    work: Callable[[_Task], _Result], tasks: Sequence[_Task], stage: str, progress: Reporter, workers: int | None
) -> list[_Result]:
    """The results of `work`, in order. New processes are started clean, since the caller may have threads."""

    def counted(results: Iterable[_Result]) -> list[_Result]:
        collected = []
        for result in results:
            collected.append(result)
            progress(stage, len(collected), len(tasks))
        return collected

    if workers == 1 or len(tasks) <= CHUNK:
        return counted(map(work, tasks))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return counted(pool.map(work, tasks, chunksize=CHUNK))


def _take_packshots(task: _Packshot) -> Article:
    garment = task.garment
    paths, digests = [], []
    for view in range(task.views):
        data = encode_jpeg(render_packshot(garment, task.seed, view, task.size), JPEG_QUALITY)
        paths.append(f"images/{garment.article_id}-{view}.jpg")
        digests.append(sha256_of_bytes(data))
        (task.batch / paths[-1]).write_bytes(data)
    shop = np.random.default_rng([task.seed, 8, *garment.article_id.encode()])
    return Article(
        garment.article_id,
        name=garment.name,
        category=garment.category,
        attributes=dict(garment.attributes),
        assortments=("everyday", "new") if shop.random() < 0.3 else ("everyday",),
        images=tuple(paths),
        sha256=tuple(digests),
        price=round(float(shop.integers(10, 120)) - 0.05, 2),
        in_stock=bool(shop.random() < 0.9),
    )


def _take_photo(task: _Shoot) -> tuple[Photo, list[Pair]]:
    scene = render_scene(task.outfit, task.seed, task.index, task.domain, task.size)
    data = encode_jpeg(scene.picture, JPEG_QUALITY)
    image, mask = f"images/{scene.photo_id}.jpg", f"masks/{scene.photo_id}.png"
    (task.batch / image).write_bytes(data)
    (task.batch / mask).write_bytes(encode_mask(scene.mask))
    photo = Photo(scene.photo_id, domain=scene.domain, image=image, sha256=sha256_of_bytes(data), mask=mask)
    pairs = [Pair(scene.photo_id, article_id, Box(*box, *task.size)) for article_id, box in scene.worn]
    return photo, pairs
