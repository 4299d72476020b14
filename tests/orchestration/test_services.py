"""The environment names services; what it says wrongly is told by the variable's name, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ThreadlineError
from orchestration.home import Home
from orchestration.resources import VARIABLES, Workspace, services_from_environment, workspace_from_environment
from orchestration.services import EMBEDDED, Services, without_password


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)


def test_with_nothing_set_everything_is_in_the_home(tmp_path: Path) -> None:
    workspace = workspace_from_environment(tmp_path)
    assert workspace.services == EMBEDDED
    assert workspace.home.tracking_uri == f"sqlite:///{tmp_path}/.threadline/mlflow/mlflow.db"
    assert workspace.home.artifacts == f"{tmp_path}/.threadline/mlflow/artifacts"


def test_every_field_has_a_variable() -> None:
    assert set(VARIABLES) == set(Services.model_fields)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_URL", "")
    assert services_from_environment() == EMBEDDED


def test_the_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "THREADLINE_TRACKING_URI": "https://mlflow.example",
        "QDRANT_URL": "https://qdrant.example:6333",
        "QDRANT_SHARDS": "6",
        "QDRANT_REPLICAS": "2",
        "QDRANT_WRITE_CONSISTENCY": "2",
        "QDRANT_ON_DISK": "true",
        "QDRANT_QUANTISATION": "int8",
    }.items():
        monkeypatch.setenv(name, value)
    found = workspace_from_environment(tmp_path)
    assert found.home.tracking_uri == "https://mlflow.example"
    layout = found.services.layout
    assert (layout.shards, layout.replicas, layout.write_consistency) == (6, 2, 2)
    assert layout.on_disk and layout.quantisation == "int8"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QDRANT_SHARDS", "0"),
        ("QDRANT_ON_DISK", "perhaps"),
        ("QDRANT_QUANTISATION", "int4"),
        ("QDRANT_WRITE_CONSISTENCY", "2"),  # of one replica
        ("THREADLINE_DAGSTER_URL", "mysql://shop:s3cret@db/dagster"),
        ("THREADLINE_DAGSTER_URL", "postgresql://shop:s3cret@db/dagster"),  # the driver is to be named
        ("THREADLINE_TRACKING_URI", "shop:s3cret@db"),
        ("THREADLINE_DVC_REMOTE", "shelf"),
        ("THREADLINE_DERIVED_ROOT", "shelf"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ThreadlineError, match=name) as refused:
        services_from_environment()
    assert "s3cret" not in str(refused.value)


def test_the_files_of_experiments_lie_where_they_are_asked_for(tmp_path: Path) -> None:
    def artifacts(**named: str) -> str | None:
        return Home(tmp_path, Services(**named)).artifacts  # type: ignore[arg-type]

    assert artifacts(tracking_uri="https://mlflow.example") is None
    assert artifacts(tracking_uri="postgresql+psycopg2://db/mlflow") == str(tmp_path / "mlflow" / "artifacts")
    assert artifacts(tracking_uri="https://mlflow.example", artifact_root="s3://shop") == "s3://shop"


def test_derived_tables_lie_where_they_are_asked_for(tmp_path: Path) -> None:
    def splits(**named: str) -> str:
        return str(Home(tmp_path, Services(**named)).splits)  # type: ignore[arg-type]

    assert splits() == f"{tmp_path}/splits.parquet"
    assert splits(derived_root="/shelf") == "/shelf/splits.parquet"
    assert splits(derived_root="s3://shop/tables/") == "s3://shop/tables/splits.parquet"


def test_no_secret_is_shown(tmp_path: Path) -> None:
    services = Services(
        dagster_url="postgresql+psycopg2://shop:s3cret@db/dagster",
        tracking_uri="postgresql+psycopg2://shop:s3cret@db/mlflow?password=s3cret",
        broker_url="redis://:s3cret@broker/0",
        qdrant_url="https://shop:s3cret@qdrant.example",
        qdrant_api_key="s3cret",
    )
    assert "s3cret" not in repr(Workspace(tmp_path, services))
    assert without_password(services.tracking_uri or "") == "postgresql+psycopg2://db/mlflow"


def test_another_workspace_shares_no_service(tmp_path: Path) -> None:
    here = Workspace(tmp_path / "here", Services(tracking_uri="https://mlflow.example"))
    assert here.elsewhere(tmp_path / "there").home.tracking_uri.startswith("sqlite:")
