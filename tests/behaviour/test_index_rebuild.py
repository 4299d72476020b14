"""A collection that was lost or damaged: the doctor says so, one command makes it again, and searches work again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
from qdrant_client import QdrantClient
from typer.testing import CliRunner

from contracts.errors import ThreadlineError
from contracts.images import read
from orchestration.cli.main import app
from orchestration.definitions import build_definitions
from orchestration.embedding import ArticleVectors, read_vectors, write_vectors
from orchestration.execution import materialize, open_instance
from orchestration.finding import Finder
from orchestration.findings import Finding
from orchestration.points import collection_name
from orchestration.rebuilding import rebuild_index
from orchestration.resources import Workspace
from orchestration.service_checks import CHECKS
from serving.index.difference import REBUILD
from serving.index.server import ServerIndex
from tests.behaviour.tiny import TinyWorkspace
from tests.behaviour.world import World

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest.fixture
def client() -> QdrantClient:
    """An empty server."""
    return QdrantClient(":memory:")


@pytest.fixture
def server(place: Path, client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> TinyWorkspace:
    """The built workspace beside the empty server, as after a restore."""
    monkeypatch.setattr(TinyWorkspace, "index", ServerIndex(client))
    return TinyWorkspace(place)


def index_of(workspace: Workspace) -> Finding:
    """What the doctor finds about the index."""
    (found,) = [one for one in CHECKS["mlflow"](workspace) if one.name == "index"]
    return found


def searched(workspace: Workspace) -> list[str]:
    """The articles found in a photo, best first."""
    photo = next(iter(sorted((workspace.data / "street" / "one" / "images").iterdir())))
    finder = Finder(workspace)
    try:
        return [hit.article_id for hit in finder.find(read(photo), 5).hits]
    finally:
        finder.close()


def rebuilt(workspace: Workspace) -> None:
    """Rebuild, as the command does."""
    rebuild_index(workspace, lambda *_: None)


def test_a_lost_index_directory_comes_back_with_one_command(world: World) -> None:
    workspace = world.workspace
    before, version = searched(workspace), world.served()[0]
    assert index_of(workspace).state == "ok"
    shutil.rmtree(workspace.home.root / "index")
    told = index_of(workspace)
    assert (told.state, told.remedy) == ("failed", REBUILD)
    with pytest.raises(ThreadlineError) as refused:
        searched(workspace)
    assert refused.value.remedy == REBUILD

    ran = CliRunner().invoke(app, ["index", "rebuild", "--json", "--workspace", str(workspace.root)])
    assert ran.exit_code == 0, ran.output
    answer = json.loads(ran.stdout)
    assert answer["version"] == version and answer["articles"] == len(world.articles)
    assert searched(workspace) == before and world.served()[0] == version
    assert index_of(workspace).state == "ok"
    assert "article_features" not in world.pictures, "the vectors were kept"
    assert world.planned() == (set(), set()) and materialize(workspace).ran == []


def test_a_damaged_generation_is_not_copied(world: World) -> None:
    workspace = world.workspace
    before = searched(workspace)
    for part in workspace.home.root.glob("index/articles-*/*/shard/segments/*/*"):
        if part.is_file():
            part.write_bytes(b"")
    (sidecar,) = workspace.home.root.glob("index/articles-*/*/points.parquet")
    sidecar.write_bytes(b"")
    assert index_of(workspace).remedy == REBUILD
    rebuilt(workspace)
    assert searched(workspace) == before and index_of(workspace).state == "ok"


def test_the_asset_alone_brings_it_back_too(world: World) -> None:
    workspace = world.workspace
    before = searched(workspace)
    shutil.rmtree(workspace.home.root / "index")
    with open_instance(workspace.home) as instance:
        job = build_definitions(workspace).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("article_index")]).success
    assert searched(workspace) == before


def test_vectors_of_another_package_are_not_taken(world: World) -> None:
    """A candidate that does not serve yet has written its vectors already."""
    workspace = world.workspace
    before = searched(workspace)
    path = workspace.home.vectors("one")
    kept = read_vectors(path)
    digests = tuple(f"{digest} of another" for digest in kept.digests)
    write_vectors(path, ArticleVectors(kept.article_ids, -kept.vectors, digests, "another"))
    rebuilt(workspace)
    assert searched(workspace) == before
    assert "article_features" not in world.pictures, "the features were kept"


def test_a_server_that_lost_its_collection(server: TinyWorkspace) -> None:
    told = index_of(server)
    assert (told.state, told.remedy) == ("failed", REBUILD)
    rebuilt(server)
    serving = server.registry.champion()
    assert serving is not None and serving.collection == collection_name(serving.digest)
    assert index_of(server).state == "ok" and len(searched(server)) == 5

    server.index.drop(serving.collection)
    assert index_of(server).remedy == REBUILD
    rebuilt(server)
    assert index_of(server).state == "ok" and len(searched(server)) == 5


def test_a_collection_without_an_article_is_told_and_mended(server: TinyWorkspace, client: QdrantClient) -> None:
    rebuilt(server)
    serving = server.registry.champion()
    assert serving is not None
    (first, *_), _ = client.scroll(serving.collection, limit=1)
    client.delete(serving.collection, [first.id])
    assert index_of(server).remedy == REBUILD
    rebuilt(server)
    assert index_of(server).state == "ok"
