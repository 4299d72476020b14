"""Anybody with MLflow loads the champion, and pickle is not needed for it."""

from __future__ import annotations

from collections.abc import Iterator

import mlflow
import numpy as np
import pandas as pd
import pytest

from contracts.images import decode
from serving.inference import PackageSession
from tests.serving.shop import Shop


@pytest.fixture
def at_registry(open_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(open_shop.settings.tracking_uri)
    yield open_shop
    mlflow.set_tracking_uri(None)


def test_the_champion_loads_without_pickle_and_gives_vectors(at_registry: Shop) -> None:
    photos = [at_registry.photo("a0"), at_registry.photo("a5")]
    model = mlflow.pyfunc.load_model("models:/threadline@champion")
    expected = PackageSession(at_registry.package(1, reranks=True)).photo_vectors([decode(photo) for photo in photos])
    for table in (pd.DataFrame({"image": photos}), [{"image": photo} for photo in photos]):
        vectors = model.predict(table)
        assert np.asarray(vectors).dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_the_model_says_what_it_takes(at_registry: Shop) -> None:
    info = mlflow.models.get_model_info("models:/threadline@champion")
    assert [column.name for column in info.signature.inputs.inputs] == ["image"]
    assert info.signature.outputs.inputs[0].shape == (-1, 33)


def test_nothing_pickled_is_in_the_registry(at_registry: Shop) -> None:
    files = [path for path in (at_registry.root / "home" / "mlflow" / "artifacts").rglob("*") if path.is_file()]
    assert files and not [path for path in files if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".joblib"}]
