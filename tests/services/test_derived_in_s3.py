"""Derived tables in an object store: one machine makes them, another goes on with them."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import dagster as dg
import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from contracts.batches import Article, read_articles, write_catalogue_batch
from contracts.errors import ThreadlineError
from contracts.files import Place, read_table, sha256_of_file, write_json, write_table, write_text
from contracts.images import encode_jpeg, read
from contracts.splits import read_splits
from orchestration import dvc_data
from orchestration.decisions import Pin, read_pin, remove_pin, write_pin
from orchestration.doctor import examine
from orchestration.execution import materialize
from orchestration.finding import Finder
from orchestration.intake import accept
from orchestration.object_store import StoredFile
from orchestration.places import Places
from orchestration.resources import Workspace, services_from_environment
from orchestration.services import Services
from orchestration.sources.sample import SampleSize, deliver_sample
from orchestration.status import read_status
from tests.behaviour.tiny import CONFIGURATION, TinyWorkspace
from tests.services.servers import PASSWORD, new_database, running_postgres, running_s3

BUCKET = "shop"
FEW = SampleSize(garments=6, photos_each=1, packshot=(96, 72), photo=(128, 96))
"""Fewer than any training needs: the untrained package serves."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with running_s3(BUCKET) as environment:
        for name, value in {**environment, "AWS_MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(S3FileSystem, "retries", 1)
        S3FileSystem.clear_instance_cache()  # of an earlier server's port
        yield environment["AWS_ENDPOINT_URL"]
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def derived(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("THREADLINE_DERIVED_ROOT", f"s3://{BUCKET}/tables")
    return f"s3://{BUCKET}/tables"


def keys() -> set[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="tables/")
    return {one["Key"].removeprefix("tables/") for one in listed.get("Contents", [])}


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with six garments and their photos, accepted; nothing is made of them yet."""
    root = tmp_path_factory.mktemp("delivered")
    dvc_data.init(root)
    write_text(root / "threadline.toml", CONFIGURATION)
    places = Places(root)
    deliver_sample(places.delivered("catalogue", "one"), places.delivered("street", "one"), size=FEW, workers=1)
    for kind in ("catalogue", "street"):
        assert accept(places, kind, "one", "a steward").status == "accepted"
    return root


def machine(delivered: Path, root: Path) -> TinyWorkspace:
    """Another machine's checkout of the same data, with an empty home."""
    shutil.copytree(delivered, root, ignore=shutil.ignore_patterns(".threadline"), symlinks=True)
    return TinyWorkspace(root, services_from_environment())


def deliver_one_more(workspace: Workspace) -> Path:
    """A second batch: one new article, and a new price of an old one. Returns the new article's picture."""
    old = read_articles(workspace.data / "catalogue" / "one")[0]
    root = workspace.places.delivered("catalogue", "two")
    (root / "images").mkdir(parents=True)
    picture = root / "images" / "new.jpg"
    picture.write_bytes(encode_jpeg(read(workspace.data / "catalogue" / "one" / old.images[0])[:, ::-1, ::-1].copy()))
    new = Article(
        "new", name="new", category=old.category, images=("images/new.jpg",), sha256=(sha256_of_file(picture),)
    )
    sale = Article(old.article_id, name=old.name, category=old.category, attributes=old.attributes, price=1.0)
    write_catalogue_batch(root, [new, sale])
    assert accept(workspace.places, "catalogue", "two", "a steward").status == "accepted"
    return workspace.data / "catalogue" / "two" / "images" / "new.jpg"


@pytest.mark.slow
def test_a_second_machine_goes_on_with_the_tables_of_the_first(
    tmp_path: Path, delivered: Path, derived: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_postgres() as postgres:
        monkeypatch.setenv("THREADLINE_DAGSTER_URL", new_database(postgres, "dagster"))
        monkeypatch.setenv("THREADLINE_TRACKING_URI", new_database(postgres, "mlflow"))
        monkeypatch.setenv("THREADLINE_ARTIFACT_ROOT", f"s3://{BUCKET}/mlflow")
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
        here = machine(delivered, tmp_path / "here")
        assert materialize(here).failed == []
        made = {
            "splits.parquet",
            "derived/photos/pairs.parquet",
            "derived/look_set.json",
            "derived/vectors/one.parquet",
        }
        assert made | {"derived/candidate.json", "derived/indexed.json"} <= keys()
        assert not any(key.startswith("attempts/") for key in keys())
        local = {path.name for path in here.home.root.iterdir()}
        assert local.isdisjoint({"derived", "splits.parquet", "decisions", "trainings", "evaluations", "attempts"})

        there = machine(delivered, tmp_path / "there")
        assert read_status(there).as_json() == read_status(here).as_json()
        assert materialize(there).ran == []

        sides = read_splits(there.home.splits)
        picture = deliver_one_more(there)
        done = materialize(there)
        assert done.failed == []
        ran = {one.label for one in done.ran}
        assert {"catalogue", "article_vectors [two]", "article_index", "release"} <= ran
        assert ran.isdisjoint({"photos", "article_vectors [one]"})
        assert read_splits(there.home.splits).items() >= sides.items()
        finder = Finder(there)
        hits = finder.find(read(picture), k=7).hits
        finder.close()
        assert len(hits) == FEW.garments + 1 and hits[0].article_id == "new"
        assert [hit.payload.get("price") for hit in hits].count(1.0) == 1


@contextmanager
def cutting(endpoint: str, what: bytes) -> Iterator[str]:
    """The address of a way to the server on which a connection breaks in the middle of a request that says `what`."""
    target = urlsplit(endpoint)
    listening = socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, sink: socket.socket) -> None:
        try:
            while block := source.recv(65536):
                if what in block:
                    sink.sendall(block[: len(block) // 2])
                    break
                sink.sendall(block)
        except OSError:
            pass
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection((str(target.hostname), int(target.port or 80)))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=forward, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def test_a_connection_that_breaks_in_the_middle_leaves_whole_files_and_is_told(
    tmp_path: Path, delivered: Path, s3: str, derived: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    workspace = machine(delivered, tmp_path / "here")
    photos = {dg.AssetKey("photos")}
    with cutting(s3, b"PUT /shop/tables/derived/photos/pairs.parquet") as broken, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", broken)
        S3FileSystem.clear_instance_cache()
        (failed,) = materialize(workspace, assets=photos).failed
    assert f"{derived}/derived/photos/pairs.parquet" in str(failed.error) and "threadline doctor" in str(failed.error)
    S3FileSystem.clear_instance_cache()
    assert "derived/photos/pairs.parquet" not in keys()
    assert read_table(workspace.home.photos / "photos.parquet").num_rows > 0
    assert [asset for asset, _ in read_status(workspace).failed] == ["photos"]
    assert materialize(workspace, assets=photos).failed == []
    assert "derived/photos/pairs.parquet" in keys() and read_status(workspace).failed == []


def test_a_store_that_is_away_is_never_an_empty_store(derived: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    S3FileSystem.clear_instance_cache()
    splits = Workspace(Path(), services_from_environment()).home.splits
    for ask in (
        splits.exists,
        splits.read_bytes,
        splits.unlink,
        lambda: list(splits.glob("*")),
        lambda: splits.write_bytes(b""),
    ):
        with pytest.raises(ThreadlineError, match=f"{derived}/splits.parquet") as told:
            ask()
        assert "threadline doctor" in told.value.remedy and PASSWORD not in str(told.value)


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_places_of_both_kinds_behave_alike(kind: str, tmp_path: Path, s3: str) -> None:
    root: Place = tmp_path if kind == "directory" else StoredFile(f"s3://{BUCKET}/tables")
    assert list(root.glob("*.json")) == [] and not (root / "a.json").exists()
    with pytest.raises(FileNotFoundError):
        (root / "a.json").read_text(encoding="utf-8")
    with pytest.raises(FileNotFoundError):
        (root / "a.json").unlink()
    (root / "a.json").unlink(missing_ok=True)
    write_json(root / "a.json", {"größe": 1})
    write_json(root / "a.json", {"größe": 2})
    write_table(root / "b" / "c.parquet", pa.table({"x": [1, 2]}))
    assert "größe" in (root / "a.json").read_text(encoding="utf-8") and "2" in (root / "a.json").read_text("utf-8")
    assert [found.name for found in root.glob("*.json")] == ["a.json"]
    assert read_table(root / "b" / "c.parquet").to_pydict() == {"x": [1, 2]}
    assert (root / "b" / "c.parquet").is_file() and not (root / "b").is_file()
    (root / "a.json").unlink()
    assert not (root / "a.json").exists()


def test_what_a_person_decides_on_one_machine_counts_on_the_other(tmp_path: Path, derived: str) -> None:
    here, there = (Workspace(tmp_path / name, services_from_environment()).home for name in ("here", "there"))
    pin = Pin("3", "d" * 64, "reid_baseline", "ann", "2026-01-01", "it searched better")
    write_pin(here, pin)
    assert read_pin(there) == pin
    remove_pin(there)
    assert read_pin(here) is None


def test_a_bucket_that_is_not_there_is_told_when_something_is_put(s3: str) -> None:
    with pytest.raises(ThreadlineError, match="s3://elsewhere/tables"):
        write_json(StoredFile("s3://elsewhere/tables") / "a.json", 1)


def test_the_doctor_tries_it_and_leaves_nothing(tmp_path: Path, derived: str) -> None:
    def found(root: str) -> str:
        workspace = Workspace(tmp_path, Services(derived_root=root))
        return next(one.state for one in examine(workspace) if one.name == "derived tables")

    assert (found(derived), found("s3://elsewhere/tables")) == ("ok", "failed")
    assert keys() == set()
