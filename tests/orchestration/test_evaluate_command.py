"""`threadline evaluate` and `threadline evaluate-masks` on pictures that are not the workspace's."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from contracts.batches import read_catalogue_batch, read_street_batch, write_catalogue_batch
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file, write_text
from contracts.images import encode_jpeg
from contracts.masks import write_mask
from contracts.model_package import read_package
from contracts.splits import write_splits
from orchestration.candidates import pretrained
from orchestration.cli.main import app
from orchestration.configuration import TEMPLATE
from orchestration.packages import find_package, find_segmenter
from orchestration.resources import Workspace
from orchestration.rows import write_rows
from orchestration.silence import silent
from orchestration.sources.sample import SampleSize, deliver_sample
from orchestration.sources.wardrobe import make_garment, plan_outfits, render_scene
from orchestration.tracking import log_training, register_serving
from orchestration.training_sets import look_rows
from tests.serving.fixtures import empty_registry
from tests.serving.shop import Shop
from training.sets import LookSet, Segmentation

pytestmark = pytest.mark.slow

__all__ = ["empty_registry"]

GARMENTS = 8
ROWS = ["photo,article_id"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, shop: Shop, empty_registry: Path) -> Workspace:
    """A workspace without data: version 1 serves and segments, version 2 does not segment."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_text(workspace.root / "threadline.toml", TEMPLATE.format(preset="demo"))
    uri = workspace.home.tracking_uri
    database = workspace.home.root / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copy(empty_registry, database)
    for seed, segments in ((1, True), (2, False)):
        made = shop.package(seed, segments=segments)
        logged = log_training(uri, workspace.home.artifacts, "t", "fashion2shop", made, {}, [], [], {})
        register_serving(uri, "fashion2shop", logged.version)
    workspace.registry.publish("1", "collection")
    return workspace


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of street photos with masks."""
    root = tmp_path_factory.mktemp("streets")
    outfits = plan_outfits([make_garment(5, number) for number in range(GARMENTS)], 5, 1)
    rows = ["photo,mask"]
    for index, outfit in enumerate(outfits):
        scene = render_scene(outfit, 5, index, "street", (320, 240))
        (root / f"{index}.jpg").write_bytes(encode_jpeg(scene.picture))
        write_mask(root / f"{index}.png", scene.mask)
        rows.append(f"{index}.jpg,{index}.png")
    (root / "photos.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def shop_of_the_sample(workspace: Workspace, tmp_path: Path, streets: Path) -> Workspace:
    """The same packages beside a small wardrobe, whose photos are all test photos; one street was learnt from."""
    shutil.copytree(workspace.root, tmp_path / "workspace")
    own = Workspace(tmp_path / "workspace")
    catalogue, street = own.data / "catalogue", own.data / "street"
    deliver_sample(catalogue, street, seed=3, size=SampleSize(garments=GARMENTS), workers=1)
    articles, shown = read_catalogue_batch(catalogue).articles, read_street_batch(street)
    articles = [replace(one, images=tuple(f"catalogue/{image}" for image in one.images)) for one in articles]
    photos = [replace(one, image=f"street/{one.image}") for one in shown.photos]
    sides = {("photo", one.photo_id): "test" for one in photos} | {("article", a.article_id): "test" for a in articles}
    own.home.catalogue.mkdir(parents=True)
    write_catalogue_batch(own.home.catalogue, articles)
    write_splits(own.home.splits, sides)
    write_rows(own.home.derived("look_set"), [look_rows(photos, shown.pairs, articles, sides)], LookSet)
    learnt = Segmentation("0", Path("0.jpg"), sha256_of_file(streets / "0.jpg"), Path("0.png"), "", "train")
    write_rows(own.home.derived("mask_set"), [learnt], Segmentation)
    return own


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Path:
    """`photos/` with pairs, good and bad, and `articles/` with a CSV: the shop's colours."""
    root = tmp_path_factory.mktemp("pictures")
    photos, articles = root / "photos", root / "articles"
    photos.mkdir()
    rows = list(ROWS)
    for key in shop.pictures:
        (photos / f"{key}-worn.jpg").write_bytes(shop.photo(key))
        rows.append(f"{key}-worn.jpg,{key}")
    shutil.copy(photos / "a0-worn.jpg", photos / "stranger.jpg")
    shutil.copy(photos / "a1-worn.jpg", photos / "nobody.jpg")
    (photos / "broken.jpg").write_bytes(shop.photo("a2")[:700])
    rows += ["stranger.jpg,not-sold-here", "nobody.jpg,", "broken.jpg,a2"]
    (photos / "photos.csv").write_text("\n".join(rows) + "\n")
    _gallery(articles, shop.pictures)
    return root


def _gallery(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    folder.mkdir()
    rows = ["image,article_id,category"]
    for number, (key, picture) in enumerate(pictures.items()):
        Image.fromarray(picture).save(folder / f"{key}.png")
        rows.append(f"{key}.png,{key},{('dress', 'shirt')[number % 2]}")
    (folder / "shop.csv").write_text("\n".join(rows) + "\n")


def run(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(workspace.root), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def pairs_of(pictures: Path) -> list[str]:
    return ["--source", "folder-photos", str(pictures / "photos"), "--gallery", str(pictures / "articles")]


def test_the_champion_finds_the_shop_s_own_colours(workspace: Workspace, pictures: Path, shop: Shop) -> None:
    found = run(workspace, "evaluate", *pairs_of(pictures))
    assert found["package"]["digest"] == read_package(shop.package(1)).digest
    assert found["score"]["gallery"] == shop.count
    assert found["score"]["acc"]["1"] >= 0.9
    low, high = found["score"]["intervals"]["acc_1"]
    assert low <= found["score"]["acc"]["1"] <= high
    assert set(found["within_category"]) == {"all", "dress", "shirt"}


def test_what_cannot_be_used_is_left_out_and_counted(workspace: Workspace, pictures: Path, shop: Shop) -> None:
    found = run(workspace, "evaluate", *pairs_of(pictures))
    assert (found["score"]["queries"], found["score"]["skipped"]) == (shop.count, 1)
    assert found["left_out"] == {"photos without a pair": 1, "photos that cannot be read": 1}


def test_another_gallery_makes_it_harder_and_the_same_articles_count_once(
    workspace: Workspace, pictures: Path, shop: Shop, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 40, 3), dtype=np.uint8)
    _gallery(tmp_path / "more", {f"n{number}": one for number, one in enumerate(noise)})
    again = ["--gallery", str(pictures / "articles"), "--gallery", f"folder:{tmp_path / 'more'}"]
    found = run(workspace, "evaluate", *pairs_of(pictures), *again)
    assert found["score"]["gallery"] == shop.count + 30
    assert found["left_out"]["articles whose id an earlier gallery has"] == shop.count


def test_nothing_is_stored_in_the_workspace(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    run(workspace, "evaluate", *pairs_of(pictures))  # the package is fetched once
    before = {path for path in workspace.root.rglob("*") if path.is_file()}
    sheet = tmp_path / "sheet.png"
    assert run(workspace, "evaluate", *pairs_of(pictures), "--sheet", str(sheet))
    assert {path for path in workspace.root.rglob("*") if path.is_file()} == before
    with Image.open(sheet) as image:
        assert image.width > 1000


def test_people_get_a_table_that_says_what_was_left_out(workspace: Workspace, pictures: Path) -> None:
    command = ["evaluate", "1", *pairs_of(pictures), "--workspace", str(workspace.root)]
    printed = CliRunner().invoke(app, command, catch_exceptions=False).stdout
    for words in ("Acc@20", "95 % interval", "not counted: 1", "photos that cannot be read: 1", "rank perc"):
        assert words in printed


def test_masks_are_measured_with_the_champion_that_segments(workspace: Workspace, tmp_path: Path) -> None:
    sheet = tmp_path / "worst.png"
    found = run(workspace, "evaluate-masks", "--source", "sample", "3", "--limit", "4", "--sheet", str(sheet))
    assert found["photos"] == found["imports"][0]["taken"]["masks"]
    assert 0 < found["iou_p5"] <= found["iou"] <= 1
    assert found["intervals"]["iou"][0] <= found["iou"] <= found["intervals"]["iou"][1]
    assert 0 <= found["boundary_f"] <= 1 and found["milliseconds"] > 0
    assert sheet.stat().st_size > 1000


def test_a_package_has_many_names(workspace: Workspace, shop: Shop) -> None:
    first, second = (read_package(shop.package(seed, segments=seed == 1)).digest for seed in (1, 2))
    names = {"champion": first, "1": first, "2": second, "fashion2shop": second, "fashion2shop/1": first}
    for name, digest in names.items():
        assert find_package(workspace, name).name == digest
    assert find_package(workspace, second[:10]).name == second
    assert find_segmenter(workspace, None).name == first


@pytest.mark.parametrize("name", ["99", "unheard-of", "fashion2shop/7", "0123456789ab", "../../etc", "it's"])
def test_a_package_that_is_not_there_is_said_with_a_remedy(workspace: Workspace, name: str) -> None:
    with pytest.raises(ThreadlineError) as refused:
        find_package(workspace, name)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "--source", "nothing", "x"], "no source 'nothing'"),
        (["evaluate", "--source", "viton", "/nowhere"], "/nowhere is not a directory"),
        (["evaluate", "--source", "sample", "x"], "no path 'x'"),
        (["evaluate-masks", "2", "--source", "sample", "1"], "does not segment"),
        (["evaluate", "--source", "folder", "{articles}"], "brings no photos"),
        (["evaluate", "--source", "folder-photos", "{photos}"], "no article"),
        (["evaluate-masks", "--source", "folder-photos", "{photos}"], "no photo with a mask"),
        (["evaluate"], "no look set yet"),
        (["evaluate", "--gallery", "{articles}"], "goes with --source"),
        (["evaluate", "--source", "sample", "1", "--limit", "4", "--backgrounds", "{photos}"], "what kind of photos"),
    ],
)
def test_what_cannot_be_measured_is_said_plainly(
    workspace: Workspace, pictures: Path, arguments: list[str], said: str
) -> None:
    given = [one.format(articles=pictures / "articles", photos=pictures / "photos") for one in arguments]
    with pytest.raises(ThreadlineError) as refused:
        CliRunner().invoke(app, [*given, "--workspace", str(workspace.root)], catch_exceptions=False)
    assert said in refused.value.problem


def test_the_untrained_package_is_measured_on_a_rendered_wardrobe(tmp_path: Path, empty_registry: Path) -> None:
    workspace = Workspace(tmp_path)
    write_text(tmp_path / "threadline.toml", TEMPLATE.format(preset="demo"))
    made = pretrained(workspace, silent)
    found = run(workspace, "evaluate", "pretrained", "--source", "sample", "8", "--limit", "24")
    assert found["package"]["digest"] == made.digest
    assert found["score"]["gallery"] == 24
    assert found["score"]["queries"] == found["imports"][0]["taken"]["photos"]
    assert 1 / 24 < found["score"]["acc"]["1"] < 0.9
    assert set(found["domains"]) == {"street", "studio"}


def test_studio_photos_are_measured_again_before_streets(workspace: Workspace, streets: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    asked = [
        "--source",
        "sample",
        "3",
        "--limit",
        "8",
        "--backgrounds",
        f"folder-photos:{streets}",
        "--sheet",
        str(sheet),
    ]
    found = run(workspace, "evaluate", *asked)
    studio, street = found["score"], found["street"]["score"]
    assert 0 < studio["queries"] == street["queries"]
    assert studio["gallery"] == street["gallery"] == 8
    assert found["street"]["acc_20_kept"] == street["acc"]["20"] / studio["acc"]["20"]
    assert found["street"]["masks"]["photos"] == street["queries"]
    assert 0 < found["street"]["masks"]["iou"] < 1
    assert found["left_out"]["photos that are not of a studio"] > 0
    assert sheet.stat().st_size > 1000


def test_without_a_source_the_workspace_s_own_test_photos_are_searched_in_its_catalogue(
    shop_of_the_sample: Workspace, streets: Path
) -> None:
    found = run(shop_of_the_sample, "evaluate", "2", "--backgrounds", f"folder-photos:{streets}")
    assert found["source"] is None
    assert found["score"]["queries"] == found["street"]["score"]["queries"] > 0
    assert found["score"]["gallery"] == GARMENTS
    assert found["street"]["masks"] is None
    assert found["left_out"]["backgrounds that models learnt from"] == 1
