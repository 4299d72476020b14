"""A shop with pictures and nothing else still gets an index and a working search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from orchestration.sources.wardrobe import make_garment
from orchestration.sources.wardrobe_scenes import render_packshot
from tests.pipeline.running import BRING_IN_DATA, commands, run

pytestmark = pytest.mark.slow

ARTICLES = 6


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """A workspace as the README makes one: six articles, fewer than any training needs, and no photo."""
    beside = tmp_path_factory.mktemp("beside")
    folder, place = beside / "catalogue", beside / "threadline"
    folder.mkdir()
    place.mkdir()
    (place / "docs").symlink_to(checkout / "docs")
    rows = ["image,article_id,name,category,price,fit"]
    for index in range(ARTICLES):
        garment = make_garment(5, index)
        Image.fromarray(render_packshot(garment, 5, 0, (256, 192))).save(folder / f"{index}.png")
        rows.append(f"{index}.png,article-{index},{garment.name},{garment.category},{10 + index}.5,slim")
    (folder / "shop.csv").write_text("\n".join(rows) + "\n")
    for command in commands(checkout / "README.md", BRING_IN_DATA):
        if command.startswith("cd "):
            place = (place / command.removeprefix("cd ")).resolve()
        else:
            done = run(command.split(), place, 300)
            assert done.code == 0, f"{command}\n{done.out}{done.err}"
    return place


def test_the_untrained_package_serves(shop: Path) -> None:
    status = json.loads(run(["threadline", "status", "--json"], shop, 60).out)
    assert status["release"]["method"] == "pretrained"
    assert status["out_of_date"] == []
    assert all(status["models"][name]["digest"] is None for name in ("street2fashion", "studio2shop", "reid_baseline"))
    assert "at least" in status["models"]["reid_baseline"]["reason"]


def test_an_article_is_found_by_its_own_picture(shop: Path) -> None:
    picture = next((shop / "data" / "catalogue").glob("*/images/article-3*"))
    results = json.loads(run(["threadline", "search", str(picture), "--json"], shop, 60).out)["results"]
    assert len(results) == ARTICLES
    assert results[0]["article_id"] == "article-3"
    assert results[0]["price"] == 13.5 and results[0]["attributes"]["fit"] == "slim"
