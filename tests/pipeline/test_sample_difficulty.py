"""The sample is neither trivial nor hopeless: what has learnt nothing finds little in a wardrobe of a fresh seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.batches import read_catalogue_batch, read_street_batch
from contracts.images import Picture, read
from contracts.model_package import Provenance
from orchestration.sources.sample import SampleSize, deliver_sample
from serving.inference import PackageSession

pytestmark = pytest.mark.slow

SEED = 2026
SIZE = SampleSize(garments=1000, photo=(136, 102), packshot=(109, 82))
"""As many garments, as large, as the bundled sample has."""


@dataclass(frozen=True)
class Wardrobe:
    """Packshots, and photos with the places of the garments worn."""

    packshots: list[Picture]
    photos: list[Picture]
    worn: list[set[int]]


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Wardrobe:
    root = tmp_path_factory.mktemp("wardrobe")
    deliver_sample(root / "catalogue", root / "street", seed=SEED, size=SIZE)
    articles = read_catalogue_batch(root / "catalogue").articles
    street = read_street_batch(root / "street")
    place = {article.article_id: row for row, article in enumerate(articles)}
    worn: dict[str, set[int]] = {}
    for pair in street.pairs:
        worn.setdefault(pair.photo_id, set()).add(place[pair.article_id])
    return Wardrobe(
        [read(root / "catalogue" / article.images[0]) for article in articles],
        [read(root / "street" / photo.image) for photo in street.photos],
        [worn[photo.photo_id] for photo in street.photos],
    )


def accuracy_at_1(queries: NDArray[np.float32], gallery: NDArray[np.float32], worn: Sequence[set[int]]) -> float:
    """The share of `queries` (Q, D) whose nearest of `gallery` (G, D), both unit vectors, is worn."""
    nearest = (queries @ gallery.T).argmax(axis=1)
    return float(np.mean([row in own for row, own in zip(nearest.tolist(), worn, strict=True)]))


def colours(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A unit histogram (512,) of `pixels` (N, 3) over 8 x 8 x 8 cells of RGB, square-rooted (Hellinger)."""
    counts = np.bincount((pixels // 32).astype(np.int64) @ (64, 8, 1), minlength=512)
    return np.sqrt(counts / max(1, counts.sum())).astype(np.float32)


def test_frozen_imagenet_features_find_little(wardrobe: Wardrobe, tmp_path: Path) -> None:
    from training.configs import PretrainedConfig
    from training.context import TrainingContext
    from training.pretrained import export_pretrained

    for part in ("package", "checkpoints", "pictures", "plots"):
        (tmp_path / part).mkdir()
    context = TrainingContext(
        out=tmp_path / "package",
        checkpoints=tmp_path / "checkpoints",
        pictures=tmp_path / "pictures",
        plots=tmp_path / "plots",
        report=lambda progress: None,
        log=lambda values, step: None,
        provenance=Provenance(),
    )
    export_pretrained(PretrainedConfig((128, 96)), context)
    session = PackageSession(tmp_path / "package")
    gallery = session.article_vectors(session.article_features(wardrobe.packshots))
    found = accuracy_at_1(session.photo_vectors(wardrobe.photos), gallery, wardrobe.worn)
    assert 0.01 < found <= 0.15


def test_a_colour_histogram_finds_little(wardrobe: Wardrobe) -> None:
    queries = np.stack([colours(picture.reshape(-1, 3)) for picture in wardrobe.photos])
    gallery = np.stack([colours(picture[picture.min(axis=2) < 225]) for picture in wardrobe.packshots])
    found = accuracy_at_1(queries, gallery, wardrobe.worn)
    assert 0.01 < found <= 0.30
