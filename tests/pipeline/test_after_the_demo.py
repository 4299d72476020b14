"""What a change sets in motion after the demo, what its search and its model answer, and everything running at once.

These work in a copy of the demo's place, so that another process may run them than the one that looks at the demo.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from dagster._grpc.client import DagsterGrpcClient

from tests.pipeline.running import Demo, environment
from tests.serving.fixtures import until

pytestmark = pytest.mark.slow


def ran(output: str) -> set[str]:
    """The assets that `materialize --json` says it ran, with their partitions."""
    return {
        f"{one['asset']}[{one['partition']}]" if one["partition"] else one["asset"] for one in json.loads(output)["ran"]
    }


def test_search_prints_what_the_sheet_draws(copied: Demo) -> None:
    found = copied.run("threadline", "search", "docs/images/street.jpg", "--k", "5", "--sheet", "sheet.png", "--json")
    assert found.code == 0, found.err
    results = json.loads(found.out)["results"]
    assert len(results) == len({one["article_id"] for one in results}) == 5
    assert [one["score"] for one in results] == sorted((one["score"] for one in results), reverse=True)
    assert (copied.root / "sheet.png").stat().st_size > 10_000


def test_a_file_that_is_no_photo_is_refused_with_a_remedy(copied: Demo) -> None:
    refused = copied.run("threadline", "search", "README.md")
    assert refused.code == 1
    assert "README.md" in refused.err and "What to do" in refused.err


def test_new_articles_cause_only_their_batch_s_work(copied: Demo, tmp_path: Path) -> None:
    """A delivery without pairs: features, vectors, tables, sets and index; no training, no other batch."""
    folder = tmp_path / "late"
    sources = sorted((copied.root / "data" / "street").glob("*/images/*"))[:6]
    folder.mkdir()
    for number, source in enumerate(sources):
        (folder / f"late-{number}{source.suffix}").write_bytes(source.read_bytes())
    rows = [f"late-{number}{source.suffix},dress" for number, source in enumerate(sources)]
    (folder / "articles.csv").write_text("image,category\n" + "\n".join(rows) + "\n")
    imported = copied.run("threadline", "import", "folder", str(folder), "--batch", "late")
    assert imported.code == 0, imported.out + imported.err
    done = copied.run("threadline", "materialize", "--json")
    assert done.code == 0, done.out + done.err
    light = {"catalogue", "splits", "mask_set", "attribute_set", "look_set"}
    assert ran(done.out) - light == {"article_dna[late]", "article_vectors[late]", "article_index", "release"}
    assert ran(copied.run("threadline", "materialize", "--json").out) == set()
    hits = json.loads(copied.run("threadline", "search", str(sources[0]), "--k", "50", "--json").out)["results"]
    assert "late-0" in {one["article_id"] for one in hits}


def test_a_model_loads_with_pickle_forbidden(copied: Demo) -> None:
    code = (
        "import mlflow, pathlib, sys\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/threadline@champion')\n"
        "print(len(model.predict([{'image': pathlib.Path(sys.argv[2]).read_bytes()}])[0]))\n"
    )
    uri = f"sqlite:///{copied.root / '.threadline' / 'mlflow' / 'mlflow.db'}"
    done = subprocess.run(
        ["python", "-c", code, uri, "docs/images/street.jpg"],
        cwd=copied.root,
        env={**environment(copied.root), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 64


def get(url: str, within_s: float = 90) -> bytes:
    """What `url` answers, waiting until it does."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


GRAPH = "{workspaceOrError {... on Workspace {locationEntries {name locationOrLoadError {__typename}}}}}"


def asked(url: str, query: str) -> dict[str, Any]:
    """The data that Dagster's pages answer a GraphQL query with."""
    request = urllib.request.Request(url, json.dumps({"query": query}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        data: dict[str, Any] = json.loads(answer.read())["data"]
    return data


def loaded_graph(socket: Path) -> str:
    """The name that the server of the graph gives to what it has loaded; another one once it has loaded it anew."""
    return str(DagsterGrpcClient(socket=str(socket)).get_server_id())


def test_up_runs_everything_and_stops_cleanly(copied: Demo) -> None:
    ports = {"--service-port": "18000", "--dagster-port": "13000", "--mlflow-port": "15000"}
    ports |= {"--steward-port": "18001", "--metrics-port": "18002"}
    arguments = [part for pair in ports.items() for part in pair]
    process = subprocess.Popen(
        ["threadline", "up", *arguments],
        cwd=copied.root,
        env=environment(copied.root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert b"threadline" in get("http://127.0.0.1:18000/").lower()
        release = json.loads(get("http://127.0.0.1:18000/v1/release"))
        assert release["version"] == json.loads(copied.run("threadline", "status", "--json").out)["release"]["version"]
        assert b"batches" in get("http://127.0.0.1:18001/").lower()
        assert b"threadline_graph_out_of_date" in get("http://127.0.0.1:18002/metrics")
        assert b"dagster" in get("http://127.0.0.1:13000/").lower()
        graph = asked("http://127.0.0.1:13000/graphql", GRAPH)["workspaceOrError"]["locationEntries"]
        assert [(one["name"], one["locationOrLoadError"]["__typename"]) for one in graph] == [
            ("orchestration.definitions", "RepositoryLocation")
        ]
        loaded = copied.root / ".threadline" / "locks" / "graph.sock"
        before = loaded_graph(loaded)
        with (copied.root / "threadline.toml").open("a") as settings:
            settings.write("# edited\n")
        until(lambda: loaded_graph(loaded) != before, 90)
        assert b"mlflow" in get("http://127.0.0.1:15000/").lower()
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Stopped." in output
    assert not re.search(r"did not stop", output)
    left = [line for line in os.popen("ps -eo args").read().splitlines() if str(copied.root) in line]
    assert left == []


def test_the_same_delivery_again_changes_nothing(copied: Demo, tmp_path: Path) -> None:
    before = (copied.root / "data.dvc").read_bytes()
    folder = tmp_path / "once"
    folder.mkdir()
    picture = next((copied.root / "data" / "street").glob("*/images/*"))
    (folder / "one.jpg").write_bytes(picture.read_bytes())
    (folder / "articles.csv").write_text("image,category\none.jpg,skirt\n")
    assert copied.run("threadline", "import", "folder", str(folder), "--batch", "once").code == 0
    once = (copied.root / "data.dvc").read_bytes()
    again = copied.run("threadline", "import", "folder", str(folder), "--batch", "once")
    assert again.code == 0 and "already accepted" in again.out
    assert before != once == (copied.root / "data.dvc").read_bytes()
