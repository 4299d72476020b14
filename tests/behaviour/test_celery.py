"""Steps on Celery's workers: real Redis, real workers, Dagster's daemon, and a worker that is killed in mid-step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from celery import Celery

from contracts.batches import Article, write_catalogue_batch
from contracts.files import sha256_of_file
from orchestration.definitions import build_definitions
from orchestration.execution import materialize
from orchestration.expectations.verdict import VERDICT, read_verdict
from orchestration.findings import Finding
from orchestration.freshness import Lineage
from orchestration.instance import open_instance
from orchestration.observation import PARTITIONS
from orchestration.resources import DAGSTER_VARIABLE, Workspace, services_from_environment
from orchestration.runs import RUNNER_TAG
from orchestration.service_checks import CHECKS
from orchestration.services import Services
from tests.behaviour.tiny import TinyWorkspace
from tests.behaviour.world import World
from tests.services.servers import new_database, postgres_programs, running_postgres, running_redis

VISIBILITY_S = 8
PATIENCE_S = 400
PROMISED_S = 180
"""From the death of a worker to the end of its run."""

CHUNK = ("second", "third")
DISTRIBUTED = ("article_dna", "masks")


@pytest.mark.slow
def test_a_worker_is_killed_and_another_finishes_its_step(
    place: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks of a street batch, the features of two catalogue batches, and a delivery to judge, on two workers."""
    with ExitStack() as stack:
        broker = stack.enter_context(running_redis())
        world = World(place)
        if postgres_programs() is not None:
            keep_history_in(stack.enter_context(running_postgres()), world, monkeypatch)
        prepare(world)
        delivery = deliver_what_is_no_picture(world)
        environment = {**os.environ, "THREADLINE_WORKSPACE": str(place), "THREADLINE_BROKER_URL": broker}
        environment |= {"DAGSTER_HOME": str(world.workspace.home.dagster), "THREADLINE_ENGINE": "celery"}
        workers = [
            stack.enter_context(worker(broker, VISIBILITY_S, environment, checkout, place / f"worker-{name}.log"))
            for name in ("one", "two")
        ]
        command = ["-m", "dagster._daemon", "run", "-m", "tests.behaviour.celery_location"]
        stack.enter_context(process(command, environment, checkout, place / "daemon.log"))

        until(place, lambda: len(computed(place)["article_features"]) > 5)
        killed = computed(place)["article_features"][-1]
        assert killed in {one.pid for one in workers}, "a worker computes, and no other process"
        os.killpg(killed, signal.SIGKILL)
        killed_s = time.monotonic()
        waits = out_of_date(world)
        assert ("article_dna", CHUNK[0]) not in waits and ("article_dna", CHUNK[1]) in waits
        until(place, lambda: runs(world) == 2 * [dg.DagsterRunStatus.SUCCESS])
        assert time.monotonic() - killed_s < PROMISED_S
        until(place, (world.workspace.places.report("catalogue", delivery) / VERDICT).is_file)

        assert not out_of_date(world)
        assert len(runs(world)) == 2, "the run of the killed worker went on, and no other took its place"
    finished = computed(place)
    assert len(set(finished["article_features"])) == 2, "the other worker took the chunk over"
    by_killed = Counter(finished["article_features"])[killed]
    assert 4 < by_killed < 8, "it was killed in the second partition of the chunk"
    assert len(finished["article_features"]) == by_killed + 4, "the first partition was not computed again"
    assert len(finished["segment"]) == 4, "nor was the other run's step"
    assert read_verdict(world.workspace.places.report("catalogue", delivery)).status == "rejected"
    lines = [line for name in ("one", "two") for line in logged(place / f"worker-{name}.log")]
    assert {*DISTRIBUTED, "judge"} <= {line.get("asset") for line in lines if line.get("run")}
    assert [line for line in lines if line.get("asset") == "judge" and "rejected" in line["message"]]


def test_a_worker_that_is_asked_to_stop_keeps_its_step(tmp_path: Path, checkout: Path) -> None:
    """The step takes far longer than the visibility timeout, and another worker has nothing to do."""
    visibility_s, nap_s = 2.0, 10.0
    with ExitStack() as stack:
        broker = stack.enter_context(running_redis())
        workers = [
            stack.enter_context(worker(broker, visibility_s, dict(os.environ), checkout, tmp_path / f"{name}.log"))
            for name in ("one", "two")
        ]
        workspace = Workspace(tmp_path, Services(engine="celery", broker_url=broker))
        until(tmp_path, lambda: Finding("workers", "ok", "2 answer") in list(CHECKS["engine"](workspace)))
        naps = tmp_path / "naps.txt"
        Celery(broker=broker).send_task("nap", (str(naps), nap_s), queue="dagster")
        until(tmp_path, lambda: naps.exists() and "\n" in naps.read_text())
        (napping,) = [one for one in workers if naps.read_text() == f"began {one.pid}\n"]
        napping.terminate()
        assert napping.wait(60) == 0
        assert naps.read_text() == f"began {napping.pid}\nended {napping.pid}\n"


def keep_history_in(server: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what Dagster knows of the workspace into a database of that server, and work with that from now on."""
    with open_instance(world.workspace.home) as old:
        graph = build_definitions(world.workspace).resolve_asset_graph()
        events = [
            one.event_log_entry
            for key in graph.get_all_asset_keys()
            for fetch in (old.fetch_materializations, old.fetch_observations)
            for one in fetch(key, limit=1000).records
        ]
        partitions = {one.name: old.get_dynamic_partitions(one.name) for one in PARTITIONS.values()}
    monkeypatch.setenv(DAGSTER_VARIABLE, new_database(server, "dagster"))
    world.workspace = TinyWorkspace(world.workspace.root, services=services_from_environment())
    with open_instance(world.workspace.home) as new:
        for event in sorted(events, key=lambda one: one.timestamp):
            new.event_log_storage.store_event(event)
        for name, values in partitions.items():
            new.add_dynamic_partitions(name, list(values))


def deliver_what_is_no_picture(world: World) -> str:
    """Drop a batch of one article that will be rejected; returns its name."""
    root = world.workspace.places.delivered("catalogue", "no-picture")
    root.mkdir(parents=True)
    (root / "one.jpg").write_text("<html>404</html>")
    digest = sha256_of_file(root / "one.jpg")
    write_catalogue_batch(root, [Article("no-picture", category="top", images=("one.jpg",), sha256=(digest,))])
    return root.name


def logged(log: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of which is an object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def prepare(world: World) -> None:
    """Deliver two batches of articles and one of photos; all that lies before their features and masks is done."""
    for batch, sources in zip(CHUNK, (world.articles[:4], world.articles[4:8]), strict=True):
        rows = [
            Article(f"{batch}-{one.article_id}", category=one.category, attributes=one.attributes) for one in sources
        ]
        world.deliver_articles(batch, rows, [world.picture(one) for one in sources])
    world.deliver_photos("two", world.photos[:4], [], masks=False)
    graph = build_definitions(world.workspace).resolve_asset_graph()
    distributed = dg.AssetSelection.assets(*DISTRIBUTED)
    done = materialize(world.workspace, assets=graph.get_all_asset_keys() - distributed.downstream().resolve(graph))
    assert not done.failed, done.failed


def computed(place: Path) -> dict[str, list[int]]:
    """Method -> the process group that computed each picture."""
    found: dict[str, list[int]] = {"article_features": [], "segment": []}
    log = place / "computed.log"
    for line in log.read_text().splitlines() if log.exists() else []:
        group, method = line.split()
        found[method].append(int(group))
    return found


def out_of_date(world: World) -> set[tuple[str, str | None]]:
    """What is still to be made of the distributed assets, by partition."""
    with open_instance(world.workspace.home) as instance:
        lineage = Lineage(instance, build_definitions(world.workspace).resolve_asset_graph())
        keys = {name: dg.AssetKey(name) for name in DISTRIBUTED}
        return {(name, one) for name, key in keys.items() for one in lineage.partitions(key) if lineage.stale(key, one)}


def runs(world: World) -> list[dg.DagsterRunStatus]:
    """What became of the daemon's runs of the distributed assets."""
    with open_instance(world.workspace.home) as instance:
        found = [run for run in instance.get_runs() if RUNNER_TAG not in run.tags]
        wanted = {dg.AssetKey(name) for name in DISTRIBUTED}
        return [run.status for run in found if wanted & (run.asset_selection or set())]


def until(place: Path, holds: Callable[[], bool]) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "\n".join(log.read_text()[-3000:] for log in place.glob("*.log"))
        time.sleep(0.2)


@contextmanager
def worker(
    broker: str, visibility_s: float, environment: dict[str, str], checkout: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a group of its own, which is killed in the end."""
    command = ["-m", "tests.behaviour.celery_worker", broker, str(visibility_s)]
    with process(command, environment, checkout, log) as started:
        yield started


@contextmanager
def process(
    command: Sequence[str], environment: dict[str, str], checkout: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process in a group of its own, which is killed in the end."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            [sys.executable, *command], cwd=checkout, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
