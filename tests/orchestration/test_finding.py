"""`threadline search` ranks again as the service does, and refuses what the release cannot do."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from contracts.errors import ThreadlineError
from contracts.files import write_text
from orchestration.cli.main import app
from orchestration.configuration import TEMPLATE
from orchestration.finding import Finder
from orchestration.resources import Workspace
from serving.app import create_app
from tests.serving.fixtures import empty_registry, shop, until
from tests.serving.shop import Shop

__all__ = ["empty_registry", "shop"]


def workspace_of(shop: Shop) -> Workspace:
    """The shop as a workspace of the command line."""
    (shop.root / ".threadline").symlink_to(shop.settings.home)
    write_text(shop.root / "threadline.toml", TEMPLATE.format(preset="demo"))
    return Workspace(shop.root)


@pytest.mark.parametrize("rerank", ["none", "neural", "k-reciprocal"])
def test_the_command_finds_what_the_service_finds(shop: Shop, rerank: str) -> None:
    shop.release(shop.package(1, reranks=True), k_reciprocal_gain=0.02)
    workspace, photo = workspace_of(shop), shop.root / "photo.jpg"
    photo.write_bytes(shop.photo("a4"))
    with TestClient(create_app(shop.settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        asked = {"k": "5", "rerank": rerank}
        answer = client.post("/v1/search", files={"photo": photo.read_bytes()}, data=asked).json()
    command = ["search", str(photo), "--k", "5", "--rerank", rerank, "--workspace", str(workspace.root), "--json"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    here, there = ({one["article_id"]: one for one in results} for results in (found["results"], answer["results"]))
    assert next(iter(here)) == next(iter(there))
    assert len(here) == 5
    common = here.keys() & there.keys()
    assert len(common) >= 4  # another runtime may swap what is all but equally close
    for article_id in common:
        assert here[article_id]["score"] == pytest.approx(there[article_id]["score"], abs=0.01)
        assert here[article_id]["rerank_score"] == pytest.approx(there[article_id]["rerank_score"], abs=0.05)


def test_a_ranking_that_the_release_has_not_is_refused_in_words(shop: Shop) -> None:
    shop.release(shop.package(1, reranks=True))
    finder = Finder(workspace_of(shop))
    with pytest.raises(ThreadlineError, match="does not rerank by 'k-reciprocal'") as refused:
        finder.find(shop.pictures["a1"], 5, rerank="k-reciprocal")
    finder.close()
    assert "choose neural" in refused.value.remedy
