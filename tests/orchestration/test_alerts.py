"""Whom the alerts reach, and of what."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from contracts.files import write_text
from orchestration.alerts import Alert, alerts, present_alerts, tell
from orchestration.asset import CATALOGUE_BATCH
from orchestration.attempts import attempt
from orchestration.definitions import build_definitions
from orchestration.expectations.verdict import RowProblem, Verdict, write_verdict
from orchestration.resources import Workspace

HOUR_S = 3600.0


class Shop:
    """A workspace of records only."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        write_text(root / "threadline.toml", "[alerts]\nindex_late_minutes = 60\n\n[retries]\nmost = 1\n")
        self.workspace = Workspace(root)
        self.instance = instance
        self.graph = build_definitions(self.workspace).resolve_asset_graph()

    def batch(self, name: str) -> None:
        self.instance.add_dynamic_partitions(str(CATALOGUE_BATCH.name), [name])
        raw = dg.AssetMaterialization("catalogue_batches", partition=name, tags={DATA_VERSION_TAG: name})
        self.instance.report_runless_asset_event(raw)

    def fail(self, asset: str) -> None:
        with pytest.raises(RuntimeError), attempt(self.workspace.home, asset, None, "inputs", "run", 0.0):
            raise RuntimeError("no space left")

    def told(self, after_s: float) -> list[str]:
        found = present_alerts(self.workspace, self.instance, self.graph, time.time() + after_s)
        return [alert.text for alert in found]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Shop(tmp_path, instance)


def test_deliveries_that_wait_for_the_steward(shop: Shop) -> None:
    places = shop.workspace.places
    for name in ("lies", "rejected"):
        places.delivered("catalogue", name).mkdir(parents=True)
    row = RowProblem("articles.parquet", 0, "a1", "", "the category is empty")
    report = places.report("catalogue", "rejected")
    report.mkdir(parents=True)
    write_verdict(report, Verdict("catalogue", "rejected", "rejected", (row,), {}))
    (text,) = shop.told(after_s=0.9 * HOUR_S)
    assert "catalogue/rejected was rejected, 1 rows fail" in text
    late, _ = sorted(shop.told(after_s=1.1 * HOUR_S))
    assert "catalogue/lies is not accepted, nor rejected, after more than 60 minutes" in late


def test_a_delivery_whose_acceptance_was_cut_short_was_not_rejected(shop: Shop) -> None:
    places = shop.workspace.places
    places.delivered("catalogue", "half").mkdir(parents=True)
    report = places.report("catalogue", "half")
    report.mkdir(parents=True)
    write_verdict(report, Verdict("catalogue", "half", "accepted", (), {}))
    assert shop.told(after_s=0.9 * HOUR_S) == []
    (late,) = shop.told(after_s=1.1 * HOUR_S)
    assert "threadline batches accept catalogue/half" in late


def test_articles_that_cannot_be_found_in_time(shop: Shop) -> None:
    shop.batch("autumn")
    assert shop.told(after_s=0.9 * HOUR_S) == []
    (text,) = shop.told(after_s=1.1 * HOUR_S)
    assert "autumn" in text and "60 minutes" in text


def test_a_failure_is_told_when_it_happens_and_when_it_is_for_good(shop: Shop) -> None:
    shop.fail("masks")
    (first,) = shop.told(0.0)
    assert "no space left" in first and "tried again" in first
    shop.fail("masks")
    (last,) = shop.told(0.0)
    assert "threadline materialize --failed" in last


def test_work_whose_process_was_killed_is_a_failure_once_its_run_is_over(shop: Shop) -> None:
    run = shop.instance.add_run(dg.DagsterRun("made", status=dg.DagsterRunStatus.STARTED))
    killed = attempt(shop.workspace.home, "reid_baseline", None, "inputs", run.run_id, 0.0)
    killed.__enter__()  # and never comes back
    assert shop.told(0.0) == [], "it works"
    shop.instance.report_run_failed(run)
    (text,) = shop.told(0.0)
    assert "reid_baseline failed: its process was killed" in text


def test_a_webhook_that_does_not_answer_is_tried_again_and_hides_nothing(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = shop.workspace.root / "threadline.toml"
    write_text(settings, f'[alerts]\nwebhook = "http://127.0.0.1:{port}/"\n')
    workspace = Workspace(shop.workspace.root)
    repository = build_definitions(workspace).get_repository_def()

    def look(cursor: str | None) -> str | None:
        context = dg.build_sensor_context(
            instance=shop.instance, repository_def=repository, resources={"workspace": workspace}, cursor=cursor
        )
        return alerts.evaluate_tick(context).cursor

    shop.fail("masks")
    assert look(None) == "[]", "nobody was told"
    write_text(settings, "")
    workspace = Workspace(shop.workspace.root)
    told = look("[]")
    assert told is not None and len(json.loads(told)) == 1


def test_an_alert_is_logged_and_posted_where_a_webhook_is_named(caplog: pytest.LogCaptureFixture) -> None:
    posted: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # as the library calls it
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with caplog.at_level(logging.WARNING, "threadline.alerts"):
        tell(Alert("k", "the index is late"), f"http://127.0.0.1:{server.server_port}/")
        tell(Alert("k", "only logged"), "")
    server.shutdown()
    server.server_close()
    assert posted == [{"text": "Threadline: the index is late"}]
    assert [record.message for record in caplog.records] == ["the index is late", "only logged"]
