"""A workspace on real services: Dagster and MLflow in PostgreSQL, artifacts and data in an object store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import dagster as dg
import pytest
import yaml
from sqlalchemy import create_engine, text

from contracts.errors import ThreadlineError
from contracts.model_package import read_package
from contracts.registry import SERVING_MODEL
from orchestration import dvc_data
from orchestration.doctor import examine
from orchestration.execution import materialize
from orchestration.instance import open_instance
from orchestration.resources import Workspace, services_from_environment
from orchestration.status import read_status
from tests.behaviour.tiny import TinyWorkspace, make_tiny
from tests.services.servers import PASSWORD, new_database, running_postgres, running_s3

BUCKET = "shop"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as address:
        yield address


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with running_s3(BUCKET) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}"


def keys() -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    return [one["Key"] for one in listed.get("Contents", [])]


def rows(database: str, table: str) -> int:
    engine = create_engine(database)
    with engine.connect() as connection:
        count = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return int(count)


def texts_below(root: Path) -> Iterator[tuple[Path, str]]:
    for path in root.rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".json", ".log", ".md", ".toml", ".local", ""):
            yield path, path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.slow
def test_a_release_is_made_on_postgres_and_s3_and_loaded_from_there(
    tmp_path: Path, postgres: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster, mlflow = new_database(postgres, "dagster"), new_database(postgres, "mlflow")
    monkeypatch.setenv("THREADLINE_DAGSTER_URL", dagster)
    monkeypatch.setenv("THREADLINE_TRACKING_URI", mlflow)
    monkeypatch.setenv("THREADLINE_ARTIFACT_ROOT", f"{bucket}/mlflow")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    make_tiny(root)
    workspace = TinyWorkspace(root, services_from_environment())
    assert materialize(workspace).failed == []

    release = workspace.registry.champion()
    assert release is not None
    collection = workspace.index.open(release.collection)
    assert collection.count() == 24
    collection.close()
    fetched = workspace.registry.fetch(SERVING_MODEL, release.version, tmp_path / "elsewhere")
    assert read_package(fetched, verify=True).digest == release.digest
    assert any(key.startswith("mlflow/") and key.endswith(".onnx") for key in keys())

    assert rows(dagster, "runs") > 0 and rows(mlflow, "runs") > 0
    assert not (workspace.home.root / "mlflow").exists()
    assert not list(workspace.home.dagster.rglob("*.db"))
    assert materialize(workspace).ran == [] and read_status(workspace).out_of_date == []
    assert [path for path, text in texts_below(root) if PASSWORD in text] == []


def test_data_goes_to_the_object_store_and_comes_back(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        root.mkdir()
        dvc_data.init(root)
        dvc_data.use_remote(root, f"{bucket}/data")
    (here / "data" / "catalogue" / "one").mkdir(parents=True)
    (here / "data" / "catalogue" / "one" / "a.txt").write_text("a shirt")
    dvc_data.add_all(here)
    dvc_data.push(here)
    shutil.copy(here / "data.dvc", there)
    dvc_data.pull(there)
    assert (there / "data" / "catalogue" / "one" / "a.txt").read_text() == "a shirt"
    before = (there / ".dvc" / "config.local").read_text()
    dvc_data.use_remote(there, f"{bucket}/data")
    assert (there / ".dvc" / "config.local").read_text() == before

    (md5,) = dvc_data.manifest(here).files.values()
    assert any(key.endswith(md5[2:]) for key in keys())
    assert dvc_data.erase(there, [md5]) == []
    assert not any(key.endswith(md5[2:]) for key in keys())


def test_dagsters_settings_change_their_storage_and_nothing_else(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Workspace(tmp_path).home.dagster / "dagster.yaml"
    with open_instance(Workspace(tmp_path).home):
        made = yaml.safe_load(settings.read_text())
    made["retention"] = {"sensor": {"purge_after_days": 7}}
    settings.write_text(yaml.safe_dump(made))
    monkeypatch.setenv("THREADLINE_DAGSTER_URL", new_database(postgres, "settings"))
    with open_instance(Workspace(tmp_path, services_from_environment()).home) as instance:
        assert "Postgres" in type(instance.run_storage).__name__
        assert isinstance(instance, dg.DagsterInstance)
    assert yaml.safe_load(settings.read_text())["retention"] == made["retention"]
    assert PASSWORD not in settings.read_text()
    monkeypatch.delenv("THREADLINE_DAGSTER_URL")
    with open_instance(Workspace(tmp_path, services_from_environment()).home) as instance:
        assert "Sqlite" in type(instance.run_storage).__name__
    assert yaml.safe_load(settings.read_text()) == made


def test_a_database_that_refuses_is_named_without_its_password(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THREADLINE_DAGSTER_URL", f"{postgres}/nowhere")
    with pytest.raises(ThreadlineError, match="nowhere") as refused:
        open_instance(Workspace(tmp_path, services_from_environment()).home)
    assert PASSWORD not in str(refused.value) and "threadline doctor" in refused.value.remedy


def test_the_doctor_tries_them_and_leaves_nothing(
    tmp_path: Path, postgres: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = new_database(postgres, "patient")
    monkeypatch.setenv("THREADLINE_DAGSTER_URL", database)
    monkeypatch.setenv("THREADLINE_ARTIFACT_ROOT", f"{bucket}/mlflow")
    monkeypatch.setenv("THREADLINE_DVC_REMOTE", f"{bucket}-that-is-not-there")
    found = {one.name: one for one in examine(Workspace(tmp_path, services_from_environment()))}
    assert found["dagster"].state == "ok" and found["dagster"].what.startswith("PostgreSQL ")
    assert found["artifacts"].state == "ok"
    assert found["packages of postgres"].state == found["packages of s3"].state == "ok"
    assert found["dvc"].state == "failed" and "credentials" in found["dvc"].remedy
    assert rows(database, "pg_tables WHERE schemaname = 'public'") == 0 and keys() == []


def test_the_doctor_finds_a_user_who_may_not_write(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = new_database(postgres, "closed")
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    engine.dispose()
    monkeypatch.setenv("THREADLINE_DAGSTER_URL", database.replace("//shop:", "//reader:"))
    found = {one.name: one for one in examine(Workspace(tmp_path, services_from_environment()))}
    assert found["dagster"].state == "failed" and "create tables" in found["dagster"].remedy
    assert PASSWORD not in repr(found)
