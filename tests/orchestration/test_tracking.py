from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from contracts.model_package import read_package
from orchestration.home import Home
from orchestration.tracking import LoggedRun, accepted, log_training, register_serving
from serving.registry import MlflowRegistry, open_client
from tests.serving.fixtures import empty_registry, shop
from tests.serving.shop import Shop

__all__ = ["empty_registry", "shop"]


def log_into(home: Path, shop: Shop, seed: int) -> LoggedRun:
    """Log a training as a workspace with this home does."""
    embedded = Home(home)
    return log_training(
        embedded.tracking_uri,
        embedded.artifacts,
        "threadline",
        "fashion2shop",
        shop.package(seed),
        params={},
        curves=[],
        plots=(),
        tags={},
    )


def log(shop: Shop, seed: int = 1, plots: tuple[Path, ...] = ()) -> LoggedRun:
    return log_training(
        shop.settings.tracking_uri,
        str(shop.root / "artifacts"),
        "training",
        "fashion2shop",
        shop.package(seed),
        params={"epochs": 3, "sizes": {"photo": [32, 32]}, "note": "n" * 9000},
        curves=[(0, {"loss": 2.0}), (1, {"loss": 1.0, "recall@1": 0.25}), (2, {"loss": math.nan})],
        plots=plots,
        tags={"data_version": "data-2"},
    )


def test_a_training_becomes_one_run(shop: Shop) -> None:
    plot = shop.root / "curves.png"
    plot.write_bytes(b"a picture")
    logged = log(shop, plots=(plot,))
    client = open_client(shop.settings.tracking_uri)
    run = client.get_run(logged.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "fashion2shop"
    assert run.data.params["epochs"] == "3" and run.data.params["sizes"] == '{"photo": [32, 32]}'
    assert [(one.step, one.value) for one in client.get_metric_history(logged.run_id, "loss")] == [(0, 2.0), (1, 1.0)]
    assert run.data.metrics["recall_at_1"] == 0.5  # what the package says comes last
    assert [one.path for one in client.list_artifacts(logged.run_id, "plots")] == ["plots/curves.png"]
    assert run.outputs is not None and len(run.outputs.model_outputs) == 1


@pytest.mark.parametrize(
    ("name", "taken"), [("val/fit//shape/", "val/fit/shape"), ("a@1/../b", "a_at_1/b"), ("/", "_")]
)
def test_names_of_attributes_become_names_of_figures(name: str, taken: str) -> None:
    assert accepted(name) == taken


def test_the_version_says_where_the_package_comes_from(shop: Shop) -> None:
    logged = log(shop)
    [version] = shop.registry.versions("fashion2shop")
    assert version.version == logged.version and version.run_id == logged.run_id
    assert version.digest == read_package(shop.package(1)).digest
    assert version.tags["data_version"] == "data-2" and version.tags["code_version"] == "code-1"


def test_the_same_package_is_registered_once(shop: Shop) -> None:
    assert log(shop) == log(shop)
    assert log(shop, seed=2).version == "2"
    client = open_client(shop.settings.tracking_uri)
    experiment = client.get_experiment_by_name("training")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_failed_run_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.tracking._log_package", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        log(shop)
    monkeypatch.undo()
    client = open_client(shop.settings.tracking_uri)
    experiment = client.get_experiment_by_name("training")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert log(shop).version == "1"


def test_a_package_serves_under_one_version(shop: Shop) -> None:
    first, second = log(shop), log(shop, seed=2)
    uri = shop.settings.tracking_uri
    assert register_serving(uri, "fashion2shop", second.version) == "1"
    assert register_serving(uri, "fashion2shop", first.version) == "2"
    shop.registry.publish("1", "articles")
    assert register_serving(uri, "fashion2shop", second.version) == "1"
    newest, oldest = shop.registry.versions()
    assert newest.digest == read_package(shop.package(1)).digest and "collection" not in newest.tags
    assert oldest.run_id == second.run_id and oldest.method == "fashion2shop"


def test_serving_what_is_not_registered(shop: Shop) -> None:
    with pytest.raises(ThreadlineError, match="no version 4"):
        register_serving(shop.settings.tracking_uri, "fashion2shop", "4")


def test_a_tracking_database_is_made_where_there_is_none(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    assert log(shop).version == "1"


@pytest.mark.parametrize("carry", [shutil.move, shutil.copytree])
def test_a_workspace_that_was_moved_or_copied_keeps_its_models_to_itself(
    shop: Shop, tmp_path: Path, carry: Callable[..., object]
) -> None:
    before, after = (tmp_path / name / ".threadline" for name in ("shop", "shop2"))
    log_into(before, shop, 1)
    held = {path for path in before.rglob("*") if path.parent.name == "data" or path.suffix == ".onnx"}
    carry(str(before.parent), str(after.parent))
    log_into(after, shop, 2)
    assert before.exists() == (carry is shutil.copytree)
    assert {path for path in before.rglob("*") if path.parent.name == "data" or path.suffix == ".onnx"} <= held
    registry = MlflowRegistry(Home(after).tracking_uri)
    for version in registry.versions("fashion2shop"):
        source = open_client(Home(after).tracking_uri).get_model_version_download_uri("fashion2shop", version.version)
        assert source.startswith(str(after))
        assert registry.fetch("fashion2shop", version.version, tmp_path / "fetched").name == version.digest
    shutil.rmtree(before, ignore_errors=True)
    assert log_into(after, shop, 3).version == "3" and not before.exists()
