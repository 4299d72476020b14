"""The checks of the raw assets follow the verdicts, and are told once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from contracts.batches import Article, write_catalogue_batch
from orchestration import dvc_data
from orchestration.definitions import build_definitions
from orchestration.execution import open_instance
from orchestration.intake import accept
from orchestration.observation import observe, record
from orchestration.resources import Workspace
from orchestration.services import Services
from orchestration.stewardship import turn_away
from orchestration.verdict_checks import verdict_check
from tests.orchestration.messy import deliver_spring

KEY = dg.AssetCheckKey(dg.AssetKey("catalogue_batches"), "catalogue_verdicts")


def test_a_rejected_delivery_is_a_failed_check_until_a_steward_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    workspace = Workspace(tmp_path / "workspace")
    workspace.root.mkdir()
    dvc_data.init(workspace.root)
    (workspace.root / "threadline.toml").touch()
    places = workspace.places
    graph = build_definitions(workspace).resolve_asset_graph()

    with open_instance(workspace.home) as instance:

        def told() -> dg.AssetCheckEvaluation:
            """What Dagster knows after a look; a second look has nothing to tell."""
            record(observe(workspace, instance, graph), instance)
            assert observe(workspace, instance, graph).checks == []
            found = instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY])[KEY].evaluation
            assert isinstance(found, dg.AssetCheckEvaluation)
            return found

        assert told().passed
        deliver_spring(places.delivered("catalogue", "spring"))
        accept(places, "catalogue", "spring", "ann")
        accepted = told()
        assert accepted.passed
        assert accepted.metadata["verdicts"].value == "accepted 1"
        assert str(accepted.metadata["report on spring"].value).startswith("file:")
        linked = replace(workspace, services=Services(steward_url="http://127.0.0.1:8001"))
        link = verdict_check(linked, "catalogue", ["spring"]).metadata["report on spring"].value
        assert link == "http://127.0.0.1:8001/batches/catalogue/spring/report/data_docs/index.html"

        late = places.delivered("catalogue", "late")
        late.mkdir(parents=True)
        write_catalogue_batch(late, [Article("x", name="X", category="hovercraft")])
        assert not accept(places, "catalogue", "late", "ann").accepted
        rejected = told()
        assert not rejected.passed
        assert rejected.severity == dg.AssetCheckSeverity.WARN
        assert rejected.metadata["rejected, waiting in incoming"].value == "late"
        assert "report on late" in rejected.metadata
        assert not observe(workspace, instance, graph), "what was rejected is no data"

        turn_away(places, "catalogue", "late", "bob", "not ours")
        assert told().passed
