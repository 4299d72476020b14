"""What was computed once is not computed again, and a kill costs at most a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from contracts.images import Picture
from contracts.model_package import ModelPackage, Sizes
from orchestration import embedding
from orchestration.embedding import article_store, computed_by, vector_digest
from orchestration.features import CHUNK, FeatureStore, compute_missing, forget
from orchestration.home import Home
from serving.inference import PackageSession


def pictures(folder: Path, count: int) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for number in range(count):
        images[f"digest-{number}"] = folder / f"{number}.png"
        Image.fromarray(np.full((20, 20, 3), number % 250, np.uint8)).save(images[f"digest-{number}"])
    return images


class Counting:
    """Features are the mean colour; counts what it was asked for, and fails after `until` pictures."""

    def __init__(self, until: int = 10**9) -> None:
        self.done, self.until = 0, until

    def __call__(self, batch: Sequence[Picture]) -> np.ndarray:
        if self.done >= self.until:
            raise KeyboardInterrupt
        self.done += len(batch)
        return np.stack([picture.mean(axis=(0, 1)) for picture in batch]).astype(np.float32)


def fill(folder: Path, images: dict[str, Path], compute: Counting) -> int:
    return compute_missing(FeatureStore(folder), images, compute, (20, 20), lambda done, total: None)


def test_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    images = pictures(tmp_path / "in", 10)
    first = dict(list(images.items())[:6])
    assert fill(tmp_path / "store", first, Counting()) == 6
    counting = Counting()
    assert fill(tmp_path / "store", images, counting) == counting.done == 4
    assert fill(tmp_path / "store", images, Counting(until=0)) == 0
    store = FeatureStore(tmp_path / "store")
    assert np.allclose(store.get(["digest-7", "digest-2"]), [[7, 7, 7], [2, 2, 2]])


def test_an_interruption_keeps_the_finished_chunks(tmp_path: Path) -> None:
    images = pictures(tmp_path / "in", CHUNK + 5)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "store", images, Counting(until=CHUNK))
    counting = Counting()
    assert fill(tmp_path / "store", images, counting) == counting.done == 5


def test_equal_pictures_are_computed_once(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    assert store.missing(["a", "b", "a"]) == ["a", "b"]


def test_a_store_sees_what_others_added_and_what_was_erased(tmp_path: Path) -> None:
    ours, rows = FeatureStore(tmp_path), np.arange(6, dtype=np.float32).reshape(3, 2)
    ours.add(["a", "b"], rows[:2])
    other = tmp_path / "other.parquet"
    FeatureStore(tmp_path / "elsewhere").add(["c"], rows[2:])
    next((tmp_path / "elsewhere").glob("*.parquet")).rename(other)
    assert FeatureStore(tmp_path).get(["c", "a"]).tolist() == [[4, 5], [0, 1]]
    forget(tmp_path, ["a"])
    assert FeatureStore(tmp_path).missing(["a", "b", "c"]) == ["a"]
    assert FeatureStore(tmp_path).get(["b", "c"]).tolist() == [[2, 3], [4, 5]]
    other.unlink()
    assert FeatureStore(tmp_path).missing(["b", "c"]) == ["c"]


def test_what_other_code_computed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModelPackage(method="m", kind="matching", sizes=Sizes(), dimension=2, files={"article_encoder": "e"})
    session = cast("PackageSession", SimpleNamespace(precision="float32", package=package))
    home = Home(tmp_path)
    article_store(session, home).add(["picture"], np.ones((1, 2), np.float32))
    assert article_store(session, home).missing(["picture"]) == []
    here = computed_by(session)
    monkeypatch.setattr(embedding, "code_version", lambda modules: "another-code")
    assert article_store(session, home).missing(["picture"]) == ["picture"]
    assert vector_digest(["picture"], "package", here) != vector_digest(["picture"], "package", computed_by(session))
