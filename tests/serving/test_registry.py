from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from contracts.model_package import read_package
from contracts.registry import SERVING_MODEL
from orchestration.tracking import record_gain
from serving.registry import MlflowRegistry, sqlite_file
from tests.serving.shop import Shop


def test_before_anything_is_registered(shop: Shop) -> None:
    assert shop.registry.champion() is None
    assert shop.registry.versions() == []


def test_reading_does_not_make_a_database(tmp_path: Path) -> None:
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db")
    assert registry.champion() is None
    assert registry.versions() == []
    with pytest.raises(ThreadlineError, match="no version 1"):
        registry.fetch(SERVING_MODEL, "1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_published_is_what_champion_says(shop: Shop) -> None:
    version = shop.register(shop.package(1))
    assert shop.registry.champion() is None
    shop.registry.publish(version, "articles-1")
    found = shop.registry.champion()
    assert found is not None
    assert (found.version, found.collection, found.method) == (version, "articles-1", "fashion2shop")
    assert found.digest == read_package(shop.package(1)).digest
    assert (found.data_version, found.code_version) == ("data-1", "code-1") and found.run_id
    shop.registry.publish(version, "articles-2")
    again = shop.registry.champion()
    assert again is not None and again.collection == "articles-2"


def test_the_tag_is_there_before_the_alias_moves(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shop.register(shop.package(1)), shop.register(shop.package(2))
    registry = shop.registry
    registry.publish(first, "c1")

    def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry._client, "set_registered_model_alias", cut_short)
    with pytest.raises(KeyboardInterrupt):
        registry.publish(second, "c2")
    found = shop.registry.champion()
    assert found is not None and (found.version, found.collection) == (first, "c1")


def test_what_is_measured_later_reaches_versions_that_were_made_before_and_after(shop: Shop) -> None:
    old, new = shop.package(1), shop.package(2)
    digest = read_package(old).digest
    shop.registry.publish(shop.register(old), "c1")
    record_gain(shop.settings.tracking_uri, "fashion2shop", digest, 0.02)
    champion = shop.registry.champion()
    assert champion is not None and champion.k_reciprocal_gain == 0.02
    record_gain(shop.settings.tracking_uri, "fashion2shop", digest, 0.0)
    again = shop.registry.champion()
    assert again is not None and again.k_reciprocal_gain == 0.0 and again != champion
    shop.registry.publish(shop.register(new), "c2")
    other = shop.registry.champion()
    assert other is not None and other.k_reciprocal_gain == 0.0


def test_versions_are_newest_first(shop: Shop) -> None:
    shop.register(shop.package(1))
    shop.register(shop.package(2))
    found = shop.registry.versions()
    assert [one.version for one in found] == ["2", "1"]
    assert found[1].digest == read_package(shop.package(1)).digest
    assert found[0].created_s >= found[1].created_s > 1.6e9
    assert [one.version for one in shop.registry.versions("fashion2shop")] == ["2", "1"]


def test_publishing_what_is_not_registered(shop: Shop) -> None:
    shop.register(shop.package(1))
    with pytest.raises(ThreadlineError, match="no version 9"):
        shop.registry.publish("9", "c")


def test_fetch_gives_the_package_verified_and_once(shop: Shop) -> None:
    version = shop.register(shop.package(1))
    into = shop.root / "fetched"
    root = shop.registry.fetch(SERVING_MODEL, version, into)
    package = read_package(root, verify=True)
    assert package == read_package(shop.package(1)) and root == into / package.digest
    written = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
    assert shop.registry.fetch(SERVING_MODEL, version, into) == root
    assert {path.name: path.stat().st_mtime_ns for path in root.iterdir()} == written
    assert [path.name for path in into.iterdir()] == [package.digest]  # nothing temporary stays


def test_a_damaged_copy_is_fetched_again(shop: Shop) -> None:
    version = shop.register(shop.package(1))
    root = shop.registry.fetch(SERVING_MODEL, version, shop.root / "fetched")
    (root / "photo_encoder.onnx").write_bytes(b"damaged")
    read_package(shop.registry.fetch(SERVING_MODEL, version, shop.root / "fetched"), verify=True)


def test_an_altered_artifact_is_refused(shop: Shop) -> None:
    version = shop.register(shop.package(1))
    [graph] = (shop.root / "home").rglob("photo_encoder.onnx")
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(ThreadlineError, match="not what the package says"):
        shop.registry.fetch(SERVING_MODEL, version, shop.root / "fetched")
    assert list((shop.root / "fetched").iterdir()) == []


def test_a_missing_artifact_is_told(shop: Shop) -> None:
    version = shop.register(shop.package(1))
    for file in list((shop.root / "home").rglob("*.onnx")) + list((shop.root / "home").rglob("package.json")):
        file.unlink()
    with pytest.raises(ThreadlineError, match="threadline version 1"):
        shop.registry.fetch(SERVING_MODEL, version, shop.root / "fetched")


def test_addresses() -> None:
    assert sqlite_file("sqlite:////var/lib/t/mlflow.db") == Path("/var/lib/t/mlflow.db")
    assert sqlite_file("sqlite:///relative.db?timeout=5") == Path("relative.db")
    assert sqlite_file("https://mlflow.example") is None
