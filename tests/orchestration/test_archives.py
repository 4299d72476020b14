"""A package travels between two registries as one file, and nothing else gets in by it."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.errors import ThreadlineError
from contracts.files import sha256_of_bytes
from contracts.model_package import PACKAGE_FILE, WEIGHTS_FILE, read_package, write_package
from contracts.registry import SERVING_MODEL
from orchestration.archives import import_archive, read_archive, write_archive
from orchestration.cli.main import app
from orchestration.home import Home
from serving.inference import PackageSession
from serving.registry import MlflowRegistry
from tests.serving.fixtures import empty_registry, shop
from tests.serving.shop import Shop

__all__ = ["empty_registry", "shop"]

Entries = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture
def production(tmp_path: Path, empty_registry: Path) -> Path:
    """A second workspace with a registry of its own."""
    root = tmp_path / "production"
    database = Home(root / ".threadline").root / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(empty_registry.read_bytes())
    (root / "threadline.toml").write_text('preset = "demo"\n')
    return root


def exported(shop: Shop, path: Path) -> Path:
    """The package of `shop`, registered there, as a file."""
    root = shop.package(1)
    shop.register(root)
    write_archive(root, path)
    return path


def altered(archive: Path, into: Path, change: Callable[[Entries], None]) -> Path:
    """The `archive` with its entries changed, each stored."""
    with zipfile.ZipFile(archive) as source:
        entries = [(entry, source.read(entry)) for entry in source.infolist()]
    change(entries)
    with zipfile.ZipFile(into, "w") as target:
        for entry, content in entries:
            target.writestr(entry, content, compress_type=entry.compress_type)
    return into


def test_a_package_goes_from_one_registry_to_another(shop: Shop, production: Path, tmp_path: Path) -> None:
    home = Home(production / ".threadline")
    archive = exported(shop, tmp_path / "package.zip")
    origin = read_package(shop.package(1))
    done = import_archive(archive, home)
    registry = MlflowRegistry(home.tracking_uri)
    assert [one.digest for one in registry.versions("fashion2shop")] == [origin.digest]
    assert [one.version for one in registry.versions()] == [done.serving_version]
    assert registry.champion() is None, "what serves is for people to decide"
    fetched = registry.fetch(SERVING_MODEL, "1", tmp_path / "fetched")
    assert read_package(fetched, verify=True) == origin, "provenance included"
    assert origin.provenance.mlflow_run == shop.registry.versions("fashion2shop")[0].run_id != ""
    assert PackageSession(fetched, threads=1).package.digest == origin.digest


def test_a_second_import_changes_nothing(shop: Shop, production: Path, tmp_path: Path) -> None:
    home = Home(production / ".threadline")
    archive = exported(shop, tmp_path / "package.zip")
    assert import_archive(archive, home) == import_archive(archive, home)
    assert len(MlflowRegistry(home.tracking_uri).versions("fashion2shop")) == 1


def test_the_same_package_gives_the_same_file(shop: Shop, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_archive(shop.package(1), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_weights_travel_and_are_checked(shop: Shop, tmp_path: Path) -> None:
    root = shop.package(1)
    (root / WEIGHTS_FILE).write_bytes(b"tensors")
    package = read_package(root)
    write_package(root, package.model_copy(update={"weights": sha256_of_bytes(b"tensors")}))
    write_archive(root, tmp_path / "package.zip")
    place = read_archive(tmp_path / "package.zip", tmp_path / "packages")
    assert (place / WEIGHTS_FILE).read_bytes() == b"tensors" and place.name == package.digest
    (root / WEIGHTS_FILE).write_bytes(b"others!")
    with pytest.raises(ThreadlineError, match="encoder"):
        write_archive(root, tmp_path / "again.zip")


def add(name: str, mode: int = 0o644) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        entries.append((entry, b"/etc/passwd"))

    return change


def drop(name: str) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        entries[:] = [one for one in entries if one[0].filename != name]

    return change


def spoil(entries: Entries) -> None:
    place = [entry.filename for entry, _ in entries].index("photo_encoder.onnx")
    entries[place] = (entries[place][0], entries[place][1][:-1] + b"?")


def squeeze(entries: Entries) -> None:
    for entry, _ in entries:
        entry.compress_type = zipfile.ZIP_DEFLATED


def rename_method(method: str) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        place = [entry.filename for entry, _ in entries].index(PACKAGE_FILE)
        described = {**json.loads(entries[place][1]), "method": method}
        entries[place] = (entries[place][0], json.dumps(described).encode())

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add("../outside.onnx"), "outside"),
        (add("/tmp/outside.onnx"), "outside"),
        (add("segmenter.onnx/../../outside"), "outside"),
        (add("graphs/segmenter.onnx"), "graphs"),
        (add("model.pkl"), "model.pkl"),
        (add("outside", stat.S_IFLNK | 0o777), "outside"),
        (add("photo_encoder.onnx"), "photo_encoder"),
        (drop(PACKAGE_FILE), "package.json is missing"),
        (drop("photo_encoder.onnx"), "missing"),
        (spoil, "photo_encoder.onnx is not what the package says"),
        (squeeze, "compressed"),
        (rename_method("threadline"), "method"),
        (rename_method("x' OR name LIKE '%"), "method"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_else_gets_in(
    shop: Shop, production: Path, tmp_path: Path, change: Callable[[Entries], None], said: str
) -> None:
    archive = tmp_path / "package.zip"
    write_archive(shop.package(1), archive)
    changed = altered(archive, tmp_path / "changed.zip", change)
    before = set(tmp_path.rglob("*"))
    home = Home(production / ".threadline")
    with pytest.raises(ThreadlineError, match=said):
        import_archive(changed, home)
    written = {path for path in set(tmp_path.rglob("*")) - before if not path.is_relative_to(home.root / "packages")}
    assert written == set()
    assert MlflowRegistry(home.tracking_uri).versions() == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_what_is_no_archive_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.zip").write_bytes(content)
    with pytest.raises(ThreadlineError, match=r"file\.zip"):
        read_archive(tmp_path / "file.zip", tmp_path / "packages")
    with pytest.raises(ThreadlineError, match="nowhere"):
        read_archive(tmp_path / "nowhere.zip", tmp_path / "packages")


def test_the_commands(shop: Shop, production: Path, tmp_path: Path) -> None:
    source = tmp_path / "staging"
    (source).mkdir()
    (source / "threadline.toml").write_text('preset = "demo"\n')
    shop.release(shop.package(1))
    (source / ".threadline").symlink_to(shop.settings.home)
    file = tmp_path / "package.zip"
    run = CliRunner().invoke
    out = run(app, ["package", "export", "champion", str(file), "--workspace", str(source), "--json"])
    assert out.exit_code == 0, out.output
    came = run(app, ["package", "import", str(file), "--workspace", str(production), "--json"])
    assert came.exit_code == 0, came.output
    said = json.loads(came.stdout)
    assert said["digest"] == json.loads(out.stdout)["digest"] == read_package(shop.package(1)).digest
    assert said["serving_version"] == "1"
