"""Batches laid over each other, and the training sets made of the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.batches import Article, CatalogueBatch, Pair, Photo, StreetBatch, write_street_batch
from contracts.errors import ThreadlineError
from orchestration import dvc_data
from orchestration.tables import batch_of, build_photos, merge_catalogue, merge_street
from orchestration.training_sets import (
    admitted_articles,
    admitted_looks,
    article_rows,
    look_rows,
    look_version,
    resolve_looks,
    version_of,
)
from training.sets import ArticleImages


def article(key: str, **values: object) -> Article:
    given = {"images": (f"images/{key}.jpg",), "sha256": (f"sha-{key}",), "category": "dress", **values}
    return Article(article_id=key, **given)  # type: ignore[arg-type] # keyword values of one test


def photo(key: str) -> Photo:
    return Photo(photo_id=key, image=f"images/{key}.jpg", sha256=f"sha-{key}")


def catalogue(*batches: tuple[str, list[Article]]) -> list[Article]:
    return merge_catalogue((name, CatalogueBatch(Path(), tuple(rows))) for name, rows in batches)


def test_later_batches_override_and_delete() -> None:
    first = [article("a", price=1.0), article("b")]
    second = [article("a", price=2.0), replace(article("b"), op="delete"), article("c")]
    merged = catalogue(("one", first), ("two", second))
    assert [(one.article_id, one.price) for one in merged] == [("a", 2.0), ("c", None)]
    assert merged[0].images == ("catalogue/two/images/a.jpg",)
    assert batch_of(merged[0].images[0]) == "two"


def test_an_upsert_without_images_keeps_those_there_were() -> None:
    merged = catalogue(("one", [article("a", price=1.0)]), ("two", [article("a", price=3.0, images=(), sha256=())]))
    assert merged[0].price == 3.0
    assert merged[0].images == ("catalogue/one/images/a.jpg",) and merged[0].sha256 == ("sha-a",)


def test_an_unknown_article_without_images_is_not_kept() -> None:
    assert catalogue(("one", [article("a", images=(), sha256=())])) == []


def test_another_mask_in_the_same_file_is_another_version_of_the_photos(tmp_path: Path) -> None:
    root = tmp_path / "data" / "street" / "one"
    (root / "masks").mkdir(parents=True)
    write_street_batch(root, [replace(photo("p"), mask="masks/p.png")], [])
    versions = []
    for content in (b"a person", b"another", b"a person"):
        (root / "masks" / "p.png").write_bytes(content)
        versions.append(build_photos(tmp_path / "data", ["one"], tmp_path / "out")[2])
    assert versions[0] == versions[2] != versions[1]


def test_pairs_of_a_deleted_photo_go_with_it() -> None:
    one = StreetBatch(Path(), (photo("p"), photo("q")), (Pair("p", "a"), Pair("q", "a")))
    two = StreetBatch(Path(), (replace(photo("p"), op="delete"),), ())
    photos, pairs = merge_street([("one", one), ("two", two)])
    assert [one.photo_id for one in photos] == ["q"]
    assert pairs == [Pair("q", "a")]


SIDES = {
    ("article", "a"): "train",
    ("article", "b"): "test",
    ("photo", "p"): "train",
    ("photo", "q"): "test",
}


def test_a_look_set_holds_no_pair_that_bridges_two_sides() -> None:
    pairs = [Pair("p", "a"), Pair("p", "b"), Pair("q", "b"), Pair("q", "nobody")]
    looks = look_rows([photo("p"), photo("q")], pairs, [article("a"), article("b")], SIDES)
    assert {one.photo_id: one.articles for one in looks.photos} == {"p": ("a",), "q": ("b",)}


def test_the_version_of_a_set_follows_what_is_read_and_not_where_it_lies() -> None:
    rows = article_rows([article("a"), article("b")], SIDES)
    moved = [replace(row, images=(Path("elsewhere.jpg"),)) for row in rows]
    assert version_of(rows) == version_of(moved)
    for changed in (replace(rows[0], category="skirt"), replace(rows[0], sha256=("x",)), replace(rows[0], split="val")):
        assert version_of([changed, rows[1]]) != version_of(rows)


def test_price_and_stock_do_not_reach_the_look_set_s_version() -> None:
    photos, pairs = [photo("p")], [Pair("p", "a")]
    plain = look_rows(photos, pairs, [article("a")], SIDES)
    sold = look_rows(photos, pairs, [article("a", price=9.0, in_stock=False, attributes={"colour": "red"})], SIDES)
    assert look_version(plain) == look_version(sold)


def members(*keys: str, **values: object) -> list[ArticleImages]:
    rows = [article(key, **values) for key in keys]
    return article_rows(rows, {("article", key): "train" for key in keys})


def test_admission_waits_for_enough_newcomers() -> None:
    before = members(*"0123456789")
    more = members(*"0123456789", "new")
    assert admitted_articles(more, before, 0.2) == before
    assert admitted_articles(more, before, 0.1) == more
    assert admitted_articles(more, before, 0.0) == more
    assert admitted_articles(before, [], 0.2) == before


def test_a_corrected_attribute_of_a_member_counts_at_once() -> None:
    corrected = [*members("a", attributes={"colour": "red"}), *members("b")]
    assert admitted_articles(corrected, members("a", "b"), 0.0) == corrected


def test_who_left_and_replaced_pictures_wait_for_the_next_admission() -> None:
    before = members("a", "b")
    replaced = members("a", images=("images/later.jpg",), sha256=("sha-later",))
    assert admitted_articles(replaced, before, 0.0) == before
    admitting = replaced + members("c")
    assert admitted_articles(admitting, before, 0.0) == admitting


def test_a_picture_replaced_in_place_counts_at_once() -> None:
    changed = members("a", sha256=("sha-other",))
    assert admitted_articles(changed, members("a"), 0.5) == changed


def test_a_new_pair_of_known_photos_and_articles_is_a_newcomer() -> None:
    rows, photos = [article("a"), article("b")], [photo("p"), photo("q")]
    before = look_rows(photos, [Pair("p", "a"), Pair("q", "b")], rows, SIDES)
    now = look_rows(photos, [Pair("p", "a"), Pair("q", "b"), Pair("p", "b")], rows, SIDES)
    assert admitted_looks(now, before, 0.6) == before
    assert admitted_looks(now, before, 0.5) == now


def test_what_was_removed_is_passed_over_when_it_is_read(tmp_path: Path) -> None:
    rows = [article("a"), article("b")]
    looks = look_rows([photo("p"), photo("q")], [Pair("p", "a"), Pair("q", "a"), Pair("q", "b")], rows, SIDES)
    (tmp_path / "images").mkdir()
    for name in ("p", "q", "b"):
        (tmp_path / "images" / f"{name}.jpg").touch()
    there = resolve_looks(looks, tmp_path, tmp_path)
    assert [one.article_id for one in there.articles] == ["b"]
    assert [(one.photo_id, one.articles) for one in there.photos] == [("q", ("b",))]


def test_a_picture_that_the_data_version_names_and_that_is_not_here_stops_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    images = root / "data" / "images"
    images.mkdir(parents=True)
    dvc_data.init(root)
    for name in ("p", "q", "a", "b"):
        (images / f"{name}.jpg").write_text(name)
    dvc_data.add_all(root)
    rows = [article("a"), article("b")]
    looks = look_rows([photo("p"), photo("q")], [Pair("p", "a"), Pair("q", "b")], rows, SIDES)
    (images / "b.jpg").unlink()
    with pytest.raises(ThreadlineError, match=r"1 files of this data version are not here, .*b\.jpg first") as error:
        resolve_looks(looks, root / "data", root)
    assert error.value.remedy == "run: dvc pull"
    dvc_data.add_all(root)
    assert [one.photo_id for one in resolve_looks(looks, root / "data", root).photos] == ["p"], "now it was removed"
