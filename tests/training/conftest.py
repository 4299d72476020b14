"""A small world to learn from: plain garments, and people who wear one each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contracts.files import sha256_of_file
from contracts.images import encode_jpeg
from contracts.masks import write_mask
from contracts.model_package import Provenance
from training.context import Progress, TrainingContext
from training.sets import ArticleImages, LookPhoto, LookSet, Segmentation

COUNT = 14
SPLITS = {12: "val", 13: "test"}


@pytest.fixture(scope="session")
def looks(tmp_path_factory: pytest.TempPathFactory) -> LookSet:
    """Fourteen garments of their own colour and pattern, each in one photo; the last two are val and test."""
    root = tmp_path_factory.mktemp("looks")
    rng = np.random.default_rng(3)
    articles, photos = [], []
    for number in range(COUNT):
        cloth = np.tile(rng.integers(0, 255, size=(2, 2, 3), dtype=np.uint8), (30, 20, 1))[:40, :30]
        packshot = np.full((64, 48, 3), 255, dtype=np.uint8)
        packshot[10:50, 9:39] = cloth
        street = np.full((64, 48, 3), rng.integers(60, 200, size=3), dtype=np.uint8)
        mask = np.zeros((64, 48), dtype=bool)
        mask[16:56, 12:42] = True
        street[16:56, 12:42] = cloth
        paths = [root / f"{number}-{kind}" for kind in ("article.jpg", "photo.jpg", "mask.png")]
        paths[0].write_bytes(encode_jpeg(packshot))
        paths[1].write_bytes(encode_jpeg(street))
        write_mask(paths[2], mask)
        article, photo, person = map(sha256_of_file, paths)
        split, name = SPLITS.get(number, "train"), f"a{number}"
        category = "top" if number % 2 else "dress"
        articles.append(ArticleImages(name, (paths[0],), (article,), category, {}, split))
        photos.append(LookPhoto(f"p{number}", "street", paths[1], photo, paths[2], person, (name,), split))
    return LookSet(tuple(photos), tuple(articles))


@pytest.fixture
def masks(looks: LookSet) -> list[Segmentation]:
    """The photos of `looks` with their masks."""
    return [
        Segmentation(photo.photo_id, photo.image, photo.sha256, photo.mask, photo.mask_sha256, photo.split)
        for photo in looks.photos
        if photo.mask is not None
    ]


@pytest.fixture
def workplace(tmp_path: Path) -> Callable[..., TrainingContext]:
    """Makes contexts, each in a folder of its own."""

    def make(
        name: str = "one",
        *,
        report: Callable[[Progress], None] = lambda _: None,
        log: Callable[[dict[str, float], int], None] = lambda _values, _step: None,
    ) -> TrainingContext:
        root = tmp_path / name
        for folder in ("out", "checkpoints", "plots"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        return TrainingContext(
            root / "out",
            root / "checkpoints",
            tmp_path / "pictures",
            root / "plots",
            report,
            log,
            Provenance(data_version="d"),
        )

    return make
