"""What Prometheus is told of the graph, as it changes."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, TickData, TickStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration import dvc_data
from orchestration.asset import CATALOGUE_BATCH
from orchestration.attempts import attempt
from orchestration.definitions import build_definitions
from orchestration.execution import materialize
from orchestration.expectations.verdict import RowProblem, Verdict, write_verdict
from orchestration.freshness import Lineage
from orchestration.graph_metrics import read_figures, serve_metrics
from orchestration.instance import open_instance
from orchestration.observation import observe, record
from orchestration.resources import Workspace
from orchestration.status import read_status
from tests.behaviour.tiny import TinyWorkspace, make_tiny

TABLES = {dg.AssetKey(name) for name in ("catalogue", "photos", "splits")}

Figures = dict[tuple[str, ...], float]


def figures(workspace: Workspace, instance: dg.DagsterInstance) -> Figures:
    """Every figure as it is now, by its name without the prefix and the values of its labels."""
    graph = build_definitions(workspace).resolve_asset_graph()
    samples = [sample for family in read_figures(workspace, instance, graph) for sample in family.samples]
    return {(one.name.removeprefix("threadline_"), *one.labels.values()): one.value for one in samples}


class Shop:
    """A workspace of records only, where what fails is tried twice."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        write_text(root / "threadline.toml", "[retries]\nmost = 1\n")
        self.workspace = Workspace(root)
        self.instance = instance

    def figures(self) -> Figures:
        return figures(self.workspace, self.instance)

    def tell_graph(self) -> None:
        graph = build_definitions(self.workspace).resolve_asset_graph()
        record(observe(self.workspace, self.instance, graph), self.instance)

    def inputs(self, asset: str) -> str:
        graph = build_definitions(self.workspace).resolve_asset_graph()
        return Lineage(self.instance, graph).inputs(dg.AssetKey(asset)) or "incomplete"

    def fail(self, asset: str) -> None:
        with pytest.raises(RuntimeError), attempt(self.workspace.home, asset, None, self.inputs(asset), "run", 0.0):
            raise RuntimeError("no space left")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_instance(Workspace(tmp_path).home) as instance:  # one in memory keeps nothing of sensors
        yield Shop(tmp_path, instance)


def test_a_batch_makes_the_catalogue_out_of_date_and_what_is_made_from_it_wait(shop: Shop) -> None:
    shop.tell_graph()
    assert shop.figures()["graph_unobserved",] == 0
    shop.instance.add_dynamic_partitions(str(CATALOGUE_BATCH.name), ["autumn"])
    before = shop.figures()
    assert before["graph_out_of_date", "catalogue", "ready"] == 0
    assert before["graph_unobserved",] == 1, "the data has no such batch"
    raw = dg.AssetMaterialization("catalogue_batches", partition="autumn", tags={DATA_VERSION_TAG: "1"})
    shop.instance.report_runless_asset_event(raw)
    after = shop.figures()
    assert after["graph_out_of_date", "catalogue", "ready"] == 1
    assert after["graph_out_of_date", "release", "waiting"] == 1
    assert ("graph_out_of_date", "catalogue_batches", "ready") not in after, "nothing here makes it"


def test_a_failure_counts_until_it_is_mended_and_says_when_nobody_repeats_it(shop: Shop) -> None:
    assert ("graph_failed", "catalogue", "repeated") not in shop.figures()
    shop.fail("catalogue")
    assert shop.figures()["graph_failed", "catalogue", "repeated"] == 1
    shop.fail("catalogue")
    given_up = shop.figures()
    assert given_up["graph_failed", "catalogue", "given_up"] == 1
    assert ("graph_failed", "catalogue", "repeated") not in given_up
    with attempt(shop.workspace.home, "catalogue", None, shop.inputs("catalogue"), "run", 0.0):
        pass
    assert not [name for name in shop.figures() if name[0] == "graph_failed"]


def test_a_failure_counts_no_longer_once_its_work_is_not_wanted(shop: Shop) -> None:
    shop.fail("catalogue")
    assert shop.figures()["graph_failed", "catalogue", "repeated"] == 1
    shop.instance.add_dynamic_partitions(str(CATALOGUE_BATCH.name), ["autumn"])
    raw = dg.AssetMaterialization("catalogue_batches", partition="autumn", tags={DATA_VERSION_TAG: "1"})
    shop.instance.report_runless_asset_event(raw)
    assert not [name for name in shop.figures() if name[0] == "graph_failed"]


def test_runs_are_counted_by_status(shop: Shop) -> None:
    assert shop.figures()["graph_runs", "queued"] == 0
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTED):
        shop.instance.add_run(dg.DagsterRun("a job", status=status))
    found = shop.figures()
    assert [found["graph_runs", status] for status in ("failure", "started", "queued")] == [1, 2, 0]


def test_the_moments_of_the_last_release_and_data_version(shop: Shop) -> None:
    assert ("graph_data_version_timestamp_seconds",) not in shop.figures()
    started = time.time()
    shop.tell_graph()
    told = shop.figures()
    assert started <= told["graph_data_version_timestamp_seconds",] <= time.time()
    assert ("graph_release_timestamp_seconds",) not in told
    shop.tell_graph()
    shop.instance.report_runless_asset_event(dg.AssetMaterialization("release"))
    released = shop.figures()
    assert released["graph_release_timestamp_seconds",] >= started
    moment = "graph_data_version_timestamp_seconds"
    assert released[moment,] == told[moment,], "the data is as it was"


def test_a_sensor_that_fails_grows_old(shop: Shop) -> None:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="orchestration.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "data_dvc")
    sensor = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING)
    shop.instance.add_instigator_state(sensor)
    for at_s, status in ((100.0, TickStatus.SKIPPED), (200.0, TickStatus.STARTED)):
        told = (sensor.instigator_origin_id, "data_dvc", InstigatorType.SENSOR, status, at_s)
        shop.instance.create_tick(TickData(*told, selector_id=sensor.selector_id))
    assert shop.figures()["graph_tick_timestamp_seconds", "data_dvc"] == 100.0


def test_deliveries_wait_or_were_rejected(shop: Shop) -> None:
    places = shop.workspace.places
    for name in ("lies", "rejected"):
        places.delivered("catalogue", name).mkdir(parents=True)
    report = places.report("catalogue", "rejected")
    report.mkdir(parents=True)
    row = RowProblem("articles.parquet", 0, "a1", "", "the category is empty")
    write_verdict(report, Verdict("catalogue", "rejected", "rejected", (row,), {}))
    found = shop.figures()
    assert (found["batches", "catalogue", "waiting"], found["batches", "catalogue", "rejected"]) == (1, 1)
    assert (found["batches", "street", "waiting"], found["batches", "street", "rejected"]) == (0, 0)


def test_a_scrape_is_answered_kept_for_some_seconds_and_fails_where_nothing_can_be_read(shop: Shop) -> None:
    server, thread = serve_metrics(shop.workspace, shop.instance, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    damaged = shop.workspace.home.attempts / "masks.json"
    try:
        write_text(damaged, "this is no JSON")
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(url, timeout=60)
        damaged.unlink()
        with urllib.request.urlopen(url, timeout=60) as answer:
            first = answer.read()
        assert b'threadline_graph_runs{status="queued"} 0.0' in first
        shop.fail("catalogue")
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.read() == first
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_port_that_is_taken_is_named(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ThreadlineError, match=f"port {port} on 127.0.0.1 is taken"):
            serve_metrics(shop.workspace, shop.instance, "127.0.0.1", port)


@pytest.mark.slow
def test_a_real_workspace_while_its_tables_are_made_and_when_one_breaks(tmp_path: Path) -> None:
    make_tiny(tmp_path)
    workspace = TinyWorkspace(tmp_path)
    assert not materialize(workspace, assets=TABLES).failed
    with open_instance(workspace.home) as instance:
        made = figures(workspace, instance)
        assert (made["batches", "catalogue", "accepted"], made["batches", "street", "accepted"]) == (1, 1)
        assert made["graph_unobserved",] == 0
        assert {made["graph_out_of_date", key.to_user_string(), "ready"] for key in TABLES} == {0}
        assert made["graph_out_of_date", "look_set", "ready"] == 1
        assert made["graph_runs", "success"] == len(TABLES)
        raw = dg.AssetMaterialization("catalogue_batches", partition="one", tags={DATA_VERSION_TAG: "another"})
        instance.report_runless_asset_event(raw)
        changed = figures(workspace, instance)
        assert changed["graph_out_of_date", "catalogue", "ready"] == 1
        assert changed["graph_out_of_date", "look_set", "waiting"] == 1
        assert changed["graph_unobserved",] == 1, "that version is not the data's"

    table = workspace.data / "catalogue" / "one" / "articles.parquet"
    sound = table.read_bytes()
    table.write_bytes(b"no table")
    dvc_data.add_batch(workspace.root, "catalogue", "one")
    assert materialize(workspace, assets=TABLES).failed
    with open_instance(workspace.home) as instance:
        broken = figures(workspace, instance)
    assert broken["graph_failed", "catalogue", "repeated"] == 1
    assert broken["graph_runs", "failure"] == 1
    assert [name for name, _ in read_status(workspace).failed] == ["catalogue"]

    table.write_bytes(sound)
    dvc_data.add_batch(workspace.root, "catalogue", "one")
    assert read_status(workspace).failed == [], "the table is up to date again, though nobody told the graph yet"
    assert materialize(workspace, assets=TABLES).ran == []
    with open_instance(workspace.home) as instance:
        assert not [name for name in figures(workspace, instance) if name[0] == "graph_failed"]
