"""Whom the alerts reach, and of what."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.storage.compute_log_manager import ComputeIOType

from contracts.files import write_text
from orchestration.alerts import Alert, alerts, present_alerts, tell
from orchestration.asset import CATALOGUE_BATCH
from orchestration.attempts import attempt
from orchestration.definitions import build_definitions
from orchestration.expectations.verdict import RowProblem, Verdict, write_verdict
from orchestration.freshness import INPUTS_TAG, Lineage
from orchestration.instance import open_instance
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

    def remove(self, name: str) -> None:
        self.instance.delete_dynamic_partition(str(CATALOGUE_BATCH.name), name)

    def inputs(self, asset: str, partition: str | None = None) -> str:
        return Lineage(self.instance, self.graph).inputs(dg.AssetKey(asset), partition) or "incomplete"

    def fail(self, asset: str, reason: str = "no space left") -> None:
        with pytest.raises(RuntimeError), attempt(self.workspace.home, asset, None, self.inputs(asset), "run", 0.0):
            raise RuntimeError(reason)

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


def test_a_batch_that_came_while_the_last_index_was_made_is_not_in_it(shop: Shop) -> None:
    shop.batch("in-time")
    time.sleep(0.6)
    began = time.monotonic()
    shop.batch("meanwhile")
    time.sleep(0.1)
    took = {"seconds": time.monotonic() - began + 0.2}
    shop.instance.report_runless_asset_event(dg.AssetMaterialization("article_index", metadata=took))
    shop.instance.report_runless_asset_event(dg.AssetMaterialization("release"))
    (text,) = shop.told(after_s=1.1 * HOUR_S)
    assert "the articles of meanwhile cannot be found yet" in text
    shop.remove("meanwhile")
    assert shop.told(after_s=1.1 * HOUR_S) == []


def test_a_failure_is_told_when_it_happens_and_when_it_is_for_good(shop: Shop) -> None:
    shop.fail("catalogue")
    (first,) = shop.told(0.0)
    assert "no space left" in first and "tried again" in first
    shop.fail("catalogue")
    (last,) = shop.told(0.0)
    assert "threadline materialize --failed" in last


def test_a_failure_whose_work_is_no_longer_wanted_is_not_told(shop: Shop) -> None:
    shop.fail("catalogue")
    shop.batch("autumn")
    assert shop.told(0.0) == [], "it would be made from something else now"
    shop.remove("autumn")
    assert len(shop.told(0.0)) == 1, "what failed before is wanted again"
    made = {INPUTS_TAG: shop.inputs("catalogue"), DATA_VERSION_TAG: "1"}
    shop.instance.report_runless_asset_event(dg.AssetMaterialization("catalogue", tags=made))
    assert shop.told(0.0) == [], "it is up to date"


def test_a_failure_over_a_batch_goes_with_the_batch(shop: Shop) -> None:
    shop.batch("autumn")
    shop.instance.report_runless_asset_event(dg.AssetMaterialization("fashion_dna", tags={DATA_VERSION_TAG: "1"}))
    inputs = shop.inputs("article_dna", "autumn")
    assert inputs != "incomplete"
    with pytest.raises(RuntimeError), attempt(shop.workspace.home, "article_dna", "autumn", inputs, "run", 0.0):
        raise RuntimeError("a picture is broken")
    assert [text.partition(":")[0] for text in shop.told(0.0)] == ["article_dna [autumn] failed"]
    shop.remove("autumn")
    assert shop.told(0.0) == []


def test_a_password_in_a_reason_is_neither_noted_nor_told(shop: Shop) -> None:
    shop.fail("catalogue", "API request to http://ann:hunter2@mlflow/api failed")
    (note,) = shop.workspace.home.attempts.glob("*.json")
    assert "hunter2" not in note.read_text("utf-8") and "mlflow/api failed" in note.read_text("utf-8")
    write_text(note, note.read_text("utf-8").replace("…", "ann:hunter2"))
    (text,) = shop.told(0.0)
    assert "hunter2" not in text and "@mlflow/api failed" in text


def test_work_whose_process_was_killed_is_a_failure_once_its_run_is_over(shop: Shop) -> None:
    run = shop.instance.add_run(dg.DagsterRun("made", status=dg.DagsterRunStatus.STARTED))
    killed = attempt(shop.workspace.home, "catalogue", None, shop.inputs("catalogue"), run.run_id, 0.0)
    killed.__enter__()  # and never comes back
    assert shop.told(0.0) == [], "it works"
    shop.instance.report_run_failed(run)
    (text,) = shop.told(0.0)
    assert "catalogue failed: its process was killed" in text


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

    shop.fail("catalogue")
    assert look(None) == "[]", "nobody was told"
    write_text(settings, "")
    workspace = Workspace(shop.workspace.root)
    told = look("[]")
    assert told is not None and len(json.loads(told)) == 1


def test_old_logs_of_ticks_go_and_those_of_runs_stay(shop: Shop) -> None:
    repository = build_definitions(shop.workspace).get_repository_def()
    with open_instance(shop.workspace.home) as instance:
        logs = instance.compute_log_manager
        old, new, run = ("__repository__", "automation", "1"), ("__repository__", "automation", "2"), ("run", "step")
        for key in (old, new, run):
            with logs.open_log_stream(key, ComputeIOType.STDERR) as stream:
                assert stream is not None
                stream.write("evaluated")
        storage = shop.workspace.home.dagster / "storage"
        for path in (storage / "__repository__/automation/1.err", storage / "run/step.err"):
            os.utime(path, (time.time() - 72 * HOUR_S,) * 2)
        with dg.build_sensor_context(
            instance=instance, repository_def=repository, resources={"workspace": shop.workspace}
        ) as context:
            alerts.evaluate_tick(context)
        kept = {path.relative_to(storage).as_posix() for path in storage.rglob("*.err")}
    assert kept == {"__repository__/automation/2.err", "run/step.err"}


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
