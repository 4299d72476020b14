"""Articles that are dropped into `incoming/` beside the running daemon and service can be found without a command."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from contracts.batches import Article, write_catalogue_batch
from contracts.files import sha256_of_file
from contracts.index import ArticleFilter
from contracts.ledger import read_ledger
from orchestration.incoming import WHO
from serving.client import SearchClient
from serving.settings import Settings
from tests.behaviour.test_daemon import daemon
from tests.behaviour.world import World
from tests.orchestration.messy import picture
from tests.serving.fixtures import serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ARTICLES = 100
ASSORTMENT = "dropped"
PATIENCE_S = 900
"""The promise is 90 s on a machine that is free; what is asserted is that it comes about on one that is not."""


def make_batch(root: Path) -> None:
    """Articles of one assortment, at `root`, which is no workspace's."""
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(ARTICLES):
        image = root / "images" / f"{number}.jpg"
        picture(2000 + number).save(image)
        rows.append(
            Article(
                f"dropped-{number}",
                category="dress",
                assortments=(ASSORTMENT,),
                images=(f"images/{number}.jpg",),
                sha256=(sha256_of_file(image),),
            )
        )
    write_catalogue_batch(root, rows)


def test_dropped_articles_can_be_found(place: Path, checkout: Path, tmp_path: Path) -> None:
    world = World(place)
    photo = world.workspace.data / "street" / "one" / world.photos[0].image
    make_batch(tmp_path / "batch")
    settings = Settings(home=world.workspace.home.root, data=world.workspace.data, threads=1)
    with serving(settings) as url, SearchClient(url) as client, daemon(place, checkout):
        only_these = ArticleFilter(assortment=ASSORTMENT)
        assert client.search(photo, k=ARTICLES, where=only_these).results == []
        shutil.copytree(tmp_path / "batch", world.workspace.places.delivered("catalogue", "dropped"))
        started_s = time.monotonic()
        while len(found := client.search(photo, k=ARTICLES, where=only_these).results) < ARTICLES:
            took_s = time.monotonic() - started_s
            assert took_s < PATIENCE_S, (len(found), (place / "daemon.log").read_text()[-3000:])
            time.sleep(1)
    print(f"dropped articles could be found after {time.monotonic() - started_s:.0f} s")
    assert {one.article_id for one in found} == {f"dropped-{number}" for number in range(ARTICLES)}
    assert read_ledger(world.workspace.data)[-1].who == WHO
    assert not world.workspace.places.delivered("catalogue", "dropped").exists()
