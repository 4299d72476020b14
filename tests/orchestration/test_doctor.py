"""The doctor finds what is wrong, says what to do, leaves nothing behind, and answers a machine by its exit code."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner

from contracts.files import write_text
from orchestration import doctor, dvc_data
from orchestration.cli.main import app
from orchestration.findings import Finding, carried_out
from orchestration.resources import VARIABLES, Workspace
from orchestration.services import Services
from tests.services.servers import running_redis

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with nothing in it."""
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Usage(0, 0, 2**40))
    made = tmp_path / "workspace"
    dvc_data.init(made)
    write_text(made / "threadline.toml", 'preset = "demo"\n')
    for folder in ("data", "incoming", ".threadline"):
        (made / folder).mkdir()
    return made


def named(findings: list[Finding], name: str) -> list[Finding]:
    return [one for one in findings if one.name == name]


def files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def worst(root: Path, name: str, **services: Any) -> Finding:
    """The worst finding of that name."""
    order = ("ok", "warning", "failed")
    return max(
        named(doctor.examine(Workspace(root, Services(**services))), name), key=lambda one: order.index(one.state)
    )


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_healthy_workspace_has_no_problem_and_stays_as_it_is(root: Path) -> None:
    before = files(root)
    found = doctor.examine(Workspace(root))
    assert [one for one in found if one.state != "ok"] == []
    assert {one.name for one in found} >= {"python", "disk", "clock", "dagster", "mlflow", "dvc", "qdrant", "engine"}
    assert files(root) == before


def test_a_full_disk_is_a_failure_and_a_nearly_full_one_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((2**20, "failed"), (5 * 2**30, "warning")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place, free=free: Usage(0, 0, free))
        found = worst(root, "disk")
        assert found.state == state and "free some space" in found.remedy


def test_a_clock_that_went_back_is_told(root: Path) -> None:
    write_text(root / "data.dvc", "outs: []\n")
    tomorrow = time.time() + 86_400
    os.utime(root / "data.dvc", (tomorrow, tomorrow))
    assert worst(root, "clock").state == "failed"


def test_a_setting_that_is_wrong_does_not_hide_the_rest(root: Path) -> None:
    write_text(root / "threadline.toml", 'preset = "huge"\n')
    found = doctor.examine(Workspace(root))
    assert named(found, "workspace")[0].state == "failed"
    assert named(found, "qdrant")[0].state == "ok"


@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("dagster", {"dagster_url": "postgresql+psycopg2://shop:s3cret@127.0.0.1:{port}/dagster"}),
        ("mlflow", {"tracking_uri": "http://127.0.0.1:{port}"}),
        ("mlflow", {"tracking_uri": "postgresql+psycopg2://shop:s3cret@127.0.0.1:{port}/mlflow"}),
        ("qdrant", {"qdrant_url": "http://127.0.0.1:{port}", "qdrant_api_key": "s3cret"}),
        ("engine", {"engine": "celery", "broker_url": "redis://:s3cret@127.0.0.1:{port}/0"}),
    ],
)
def test_a_service_that_is_away_is_told_without_its_password(root: Path, name: str, services: dict[str, str]) -> None:
    port = closed_port()
    found = worst(root, name, **{key: value.format(port=port) for key, value in services.items()})
    assert found.state == "failed" and found.remedy
    assert "s3cret" not in f"{found.what} {found.remedy}"


def test_a_redis_is_written_to_and_no_worker_is_told(root: Path) -> None:
    with running_redis() as broker:
        found = doctor.examine(Workspace(root, Services(engine="celery", broker_url=broker)))
        assert {one.state for one in named(found, "engine")} == {"ok"}
        (workers,) = named(found, "workers")
        assert workers.state == "warning" and "threadline worker" in workers.remedy
        left = [key for key in Redis.from_url(broker).scan_iter() if not key.startswith(b"_kombu.")]
        assert left == [], "but what Celery itself keeps there"
        Redis.from_url(broker).config_set("maxmemory", "1")
        (full,) = named(doctor.examine(Workspace(root, Services(engine="celery", broker_url=broker))), "engine")
        assert full.state == "failed" and "maxmemory" in full.what


def test_a_cluster_that_nobody_asked_is_not_called_well(root: Path) -> None:
    found = worst(root, "engine", engine="kubernetes")
    assert found.state == "warning" and "not checked" in found.what


def test_a_place_that_may_not_be_written_is_told(root: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "file", "not a directory")
    found = worst(root, "artifacts", artifact_root=str(tmp_path / "file" / "below"))
    assert found.state == "failed" and str(tmp_path) in found.what


def test_a_package_that_is_missing_or_too_old_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["no-such-package-of-ours>=1; extra == 'orchestration'", "dagster>=999; extra == 'orchestration'"]
    monkeypatch.setattr(doctor, "requires", lambda name: wanted)
    found = worst(root, "packages of orchestration")
    assert found.state == "failed" and "'.[orchestration]'" in found.remedy
    assert "no-such-package-of-ours is not installed" in found.what and ">=999" in found.what


def test_what_no_check_foresaw_is_a_finding_too() -> None:
    def broken(workspace: Workspace) -> list[Finding]:
        raise LookupError("the oracle\nis silent")

    (found,) = carried_out("oracle", broken, Workspace(Path()))
    assert (found.name, found.state, found.what) == ("oracle", "failed", "LookupError: the oracle")


def test_the_command_answers_people_and_machines(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    well = runner.invoke(app, ["doctor", "--workspace", str(root), "--json"])
    assert well.exit_code == 0, well.output
    assert {one["state"] for one in json.loads(well.stdout)} == {"ok"}
    monkeypatch.setenv("THREADLINE_TRACKING_URI", f"http://127.0.0.1:{closed_port()}")
    ill = runner.invoke(app, ["doctor", "--workspace", str(root)])
    assert ill.exit_code == 3 and "What to do:" in ill.output
