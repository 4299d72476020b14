"""Steps on Celery's workers: real Redis, real workers, Dagster's daemon, and a worker that is killed in mid-step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contracts.batches import Article, write_catalogue_batch
from contracts.files import sha256_of_file
from orchestration.definitions import build_definitions
from orchestration.execution import materialize
from orchestration.expectations.verdict import VERDICT, read_verdict
from orchestration.freshness import Lineage
from orchestration.instance import open_instance
from orchestration.runs import RUNNER_TAG
from tests.behaviour.world import World

VISIBILITY_S = 8
PATIENCE_S = 400
CHUNK = ("second", "third")
DISTRIBUTED = ("article_dna", "masks")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server here")
def test_a_worker_is_killed_and_another_finishes_its_step(place: Path, checkout: Path) -> None:
    """The masks of a street batch, the features of two catalogue batches, and a delivery to judge, on two workers."""
    world = World(place)
    prepare(world)
    delivery = deliver_what_is_no_picture(world)
    with ExitStack() as stack:
        broker = stack.enter_context(redis(place))
        environment = {**os.environ, "THREADLINE_WORKSPACE": str(place), "THREADLINE_BROKER_URL": broker}
        environment["DAGSTER_HOME"] = str(world.workspace.home.dagster)
        workers = {}
        for name in ("one", "two"):
            command = ["-m", "tests.behaviour.celery_worker", broker, str(VISIBILITY_S)]
            workers[name] = stack.enter_context(process(command, environment, checkout, place / f"worker-{name}.log"))
        command = ["-m", "dagster._daemon", "run", "-m", "tests.behaviour.celery_location"]
        stack.enter_context(process(command, environment, checkout, place / "daemon.log"))

        until(place, lambda: len(computed(place)["article_features"]) > 5)
        killed = computed(place)["article_features"][-1]
        assert killed in {worker.pid for worker in workers.values()}, "a worker computes, and no other process"
        os.killpg(killed, signal.SIGKILL)
        waits = out_of_date(world)
        assert ("article_dna", CHUNK[0]) not in waits and ("article_dna", CHUNK[1]) in waits
        until(place, lambda: runs(world) == 2 * [dg.DagsterRunStatus.SUCCESS])
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
    lines = [line for name in workers for line in logged(place / f"worker-{name}.log")]
    assert {*DISTRIBUTED, "judge"} <= {line.get("asset") for line in lines if line.get("run")}
    assert [line for line in lines if line.get("asset") == "judge" and "rejected" in line["message"]]


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
def redis(place: Path) -> Iterator[str]:
    """The address of a Redis of its own, which keeps nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (place / "redis.log").open("ab") as log, subprocess.Popen(command, cwd=place, stdout=log) as server:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()


@contextmanager
def process(
    command: list[str], environment: dict[str, str], checkout: Path, log: Path
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
