"""Erasing a picture on request: nothing of it is left where the project can reach, and it is said who saw it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from contracts.batches import (
    Article,
    Photo,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file
from contracts.model_package import PACKAGE_FILE, ModelPackage, Provenance, Sizes
from orchestration import dvc_data, purging
from orchestration.definitions import build_definitions
from orchestration.execution import materialize
from orchestration.expectations.verdict import CONTACT_SHEET
from orchestration.features import FeatureStore
from orchestration.intake import accept
from orchestration.purging import purge
from orchestration.resources import Workspace
from orchestration.rows import read_rows
from orchestration.stewardship import turn_away
from orchestration.workspace_tables import read_looks
from tests.orchestration.messy import deliver_messy_street, deliver_spring, picture
from training.pictures import PictureStore, Source
from training.sets import ArticleImages, Segmentation


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An accepted catalogue and street, pushed to a remote, with records, features, a mask and a package of it."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    made = Workspace(tmp_path / "workspace")
    made.root.mkdir()
    dvc_data.init(made.root)
    (made.root / "threadline.toml").write_text("[validation]\nquarantine_share = 0.9\n")
    deliver_spring(made.places.delivered("catalogue", "spring"))
    accept(made.places, "catalogue", "spring", "ann")
    deliver_messy_street(made.places.delivered("street", "messy"))
    accept(made.places, "street", "messy", "ann")
    with dvc_data._repository(made.root) as repo, repo.config.edit("repo") as config:
        config["remote"]["far"] = {"url": str(tmp_path / "far")}
    dvc_data.push(made.root, "far")
    article = made.places.accepted("catalogue", "spring") / "images" / "a7.jpg"
    digest = sha256_of_file(article)
    PictureStore(made.home.pictures / "code", (32, 24)).take([Source(article, digest)])
    FeatureStore(made.home.features("m" * 64, "float32")).add([digest, "other"], np.ones((2, 3), np.float32))
    package = ModelPackage(
        method="reid",
        kind="features",
        sizes=Sizes(),
        dimension=3,
        files={},
        provenance=Provenance(data_version=dvc_data.data_version(made.root)),
    )
    path = made.home.package(package.digest) / PACKAGE_FILE
    path.parent.mkdir(parents=True)
    path.write_text(package.model_dump_json())
    return made


def files_with(root: Path, content: bytes) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and content in path.read_bytes()]


def test_an_article_is_gone_from_everywhere(workspace: Workspace, tmp_path: Path) -> None:
    picture = (workspace.places.accepted("catalogue", "spring") / "images" / "a7.jpg").read_bytes()
    record = next(workspace.home.pictures.rglob("*.records"))
    assert len(files_with(tmp_path, picture)) == 3  # the data, DVC's cache, and the remote
    assert np.any(np.fromfile(record, np.uint8))
    done = purge(workspace, "a7", "ann", "the brand asked")
    assert files_with(tmp_path, picture) == []
    assert not np.any(np.fromfile(record, np.uint8))
    assert FeatureStore(workspace.home.features("m" * 64, "float32")).missing([*done.sha256, "other"]) == [*done.sha256]
    articles = read_catalogue_batch(workspace.places.accepted("catalogue", "spring")).articles
    assert len(articles) == 59 and "a7" not in {one.article_id for one in articles}
    assert "catalogue/spring/images/a7.jpg" not in dvc_data.manifest(workspace.root).files
    assert len(dvc_data.manifest(workspace.root).files) > 60
    assert [model.split()[0] for model in done.models] == ["reid"]
    note = json.loads((workspace.places.home / "purged" / "catalogue-a7.json").read_text())
    assert (note["who"], note["reason"], note["done"]) == ("ann", "the brand asked", True)


def test_a_photo_goes_with_its_mask_pairs_and_quarantine(workspace: Workspace) -> None:
    purge(workspace, "p3", "ann", "the person asked")
    purge(workspace, "fog", "ann", "the person asked")
    street = read_street_batch(workspace.places.accepted("street", "messy"))
    assert "p3" not in {one.photo_id for one in (*street.photos, *street.pairs)}
    assert not (street.root / "images" / "p3.jpg").exists()
    assert not (street.root / "masks" / "p3.png").exists()
    aside = read_street_batch(workspace.places.set_aside("street", "messy"))
    assert "fog" not in {one.photo_id for one in (*aside.photos, *aside.pairs)}
    assert not (aside.root / "images" / "fog.jpg").exists()


@pytest.mark.slow
def test_the_training_sets_let_go_of_it_at_once(workspace: Workspace) -> None:
    """Though nobody new is there to be admitted, which is when others who left are let go of."""
    sets = dg.AssetSelection.assets("mask_set", "attribute_set", "look_set")

    def members() -> tuple[set[str], set[str], set[str]]:
        graph = build_definitions(workspace).resolve_asset_graph()
        assert not materialize(workspace, assets=set(sets.upstream().resolve(graph))).failed
        home = workspace.home
        masks = {row.photo_id for row in read_rows(home.derived("mask_set"), Segmentation)}
        articles = {row.article_id for row in read_rows(home.derived("attribute_set"), ArticleImages)}
        return masks, articles, {photo.photo_id for photo in read_looks(workspace, "look_set").photos}

    masks, articles, looks = members()
    photo = min(masks & looks)
    purge(workspace, photo, "ann", "the person asked")
    purge(workspace, "a7", "ann", "the brand asked")
    shown = {one.photo_id for one in read_looks(workspace, "look_set").photos if set(one.articles) != {"a7"}}
    assert members() == (masks - {photo}, articles - {"a7"}, (looks & shown) - {photo})


def test_a_purge_that_is_cut_short_is_finished_by_doing_it_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = (workspace.places.accepted("catalogue", "spring") / "images" / "a7.jpg").read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(purging.dvc_data, "erase", killed)
        purge(workspace, "a7", "ann", "asked")
    assert files_with(tmp_path, picture)
    purge(workspace, "a7", "ann", "asked")
    assert files_with(tmp_path, picture) == []
    with pytest.raises(ThreadlineError, match="there is no photo or article 'a7'"):
        purge(workspace, "a7", "ann", "asked")


@pytest.mark.parametrize("step", ["the table", "DVC"])
def test_rows_that_went_before_the_purge_was_cut_short_do_not_hide_its_files(
    step: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = (workspace.places.accepted("catalogue", "spring") / "images" / "a7.jpg").read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def killed_after_it(root: Path, articles: list[Article]) -> None:
        write_catalogue_batch(root, articles)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if step == "DVC":
            patched.setattr(purging.dvc_data, "add_batch", killed)
        else:
            patched.setattr(purging, "write_catalogue_batch", killed_after_it)
        purge(workspace, "a7", "ann", "asked")
    assert files_with(tmp_path, picture)
    assert purge(workspace, "a7", "ann", "asked").unreached == ()
    assert files_with(tmp_path, picture) == []
    assert "catalogue/spring/images/a7.jpg" not in dvc_data.manifest(workspace.root).files


def test_a_batch_that_cannot_be_read_is_named_and_stops_nothing(workspace: Workspace) -> None:
    (broken := workspace.places.delivered("catalogue", "broken")).mkdir(parents=True)
    (broken / "articles.parquet").write_bytes(b"half of a table")
    assert "a batch that cannot be read: incoming/catalogue/broken" in purge(workspace, "a7", "ann", "asked").unreached
    with pytest.raises(ThreadlineError, match="not read: incoming/catalogue/broken"):
        purge(workspace, "nowhere", "ann", "asked")


def test_the_contact_sheet_of_a_batch_that_was_turned_away_goes(workspace: Workspace) -> None:
    places = workspace.places
    shutil.copytree(places.accepted("catalogue", "spring"), places.delivered("catalogue", "again"))
    (places.report("catalogue", "again")).mkdir(parents=True)
    (sheet := places.report("catalogue", "again") / CONTACT_SHEET).touch()
    turn_away(places, "catalogue", "again", "ann", "the same again")
    assert ".threadline/rejected/catalogue/again/batch" in purge(workspace, "a7", "ann", "asked").batches
    assert not sheet.exists()


def test_an_id_of_a_photo_and_of_an_article_is_refused_until_one_is_chosen(workspace: Workspace) -> None:
    delivered = workspace.places.delivered("street", "june")
    (delivered / "images").mkdir(parents=True)
    picture(500).save(image := delivered / "images" / "a7.jpg")
    write_street_batch(delivered, [Photo("a7", image="images/a7.jpg", sha256=sha256_of_file(image))], [])
    with pytest.raises(ThreadlineError, match="both a photo and an article") as refused:
        purge(workspace, "a7", "ann", "the person asked")
    assert refused.value.remedy == "say which: catalogue/a7 or street/a7"
    assert image.exists()
    done = purge(workspace, "street/a7", "ann", "the person asked")
    assert (done.kind, done.key, done.batches) == ("street", "a7", ("incoming/street/june",))
    assert not image.exists() and read_street_batch(delivered).photos == ()
    assert (workspace.places.accepted("catalogue", "spring") / "images" / "a7.jpg").exists()
    assert purge(workspace, "a7", "ann", "the brand asked").kind == "catalogue"
    assert len(list((workspace.places.home / "purged").iterdir())) == 2


def test_copies_that_no_row_names_go_too_and_those_of_another_id_are_said(workspace: Workspace, tmp_path: Path) -> None:
    places = workspace.places
    content = (places.accepted("street", "messy") / "images" / "p3.jpg").read_bytes()
    copies = [
        places.set_aside("street", "messy") / "unnamed" / "originals" / "p3.jpg",
        places.incoming / "street" / ".half-made" / "images" / "x.jpg",
        places.rejected / "street" / "old" / "batch" / "p3.jpg",
        places.intake / "done-street-messy" / "images" / "p3.jpg",
    ]
    delivered = places.delivered("street", "again")
    for path in [*copies, delivered / "images" / "other.jpg"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    named = Photo("other", image="images/other.jpg", sha256=sha256_of_file(delivered / "images" / "other.jpg"))
    write_street_batch(delivered, [named], [])
    done = purge(workspace, "p3", "ann", "the person asked")
    assert files_with(tmp_path, content) == [delivered / "images" / "other.jpg"]
    assert sorted(done.copies) == sorted(path.relative_to(places.root).as_posix() for path in copies)
    assert "the same file, which may be of another id: incoming/street/again/images/other.jpg" in done.unreached


def test_what_cannot_be_reached_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with dvc_data._repository(workspace.root) as repo, repo.config.edit("repo") as config:
        config["remote"]["gone"] = {"url": "ssh://nowhere.invalid/data"}
    workspace.home.dagster.mkdir(parents=True)
    done = purge(workspace, "a7", "ann", "asked")
    assert [place for place in done.unreached if place.startswith("gone of DVC")]
    assert f"an example that may show it, in Dagster's event log: {workspace.home.dagster}" in done.unreached
