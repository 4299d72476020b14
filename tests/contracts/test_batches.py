from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.batches import (
    ARTICLES,
    PAIRS,
    PHOTOS,
    Article,
    Box,
    Pair,
    Photo,
    check_batch_name,
    inside,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import read_table, write_table

MANY = 50_001
"""More rows than are converted together."""

words = st.text(max_size=12)
sides = st.integers(0, 2**31 - 1)
boxes = st.builds(Box, sides, sides, sides, sides, sides, sides)
articles = st.builds(
    Article,
    article_id=words,
    op=st.sampled_from(["upsert", "delete"]),
    name=words,
    category=words,
    attributes=st.dictionaries(words, words, max_size=3),
    assortments=st.lists(words, max_size=3).map(tuple),
    images=st.lists(words, max_size=3).map(tuple),
    sha256=st.lists(words, max_size=3).map(tuple),
    url=st.none() | words,
    price=st.none() | st.floats(allow_nan=False),
    in_stock=st.none() | st.booleans(),
)
photos = st.builds(
    Photo,
    photo_id=words,
    op=st.sampled_from(["upsert", "delete"]),
    domain=st.sampled_from(["street", "studio"]),
    image=words,
    sha256=words,
    mask=st.none() | words,
    person_box=st.none() | boxes,
    worn=st.lists(words, max_size=3).map(tuple),
)
pairs = st.builds(Pair, words, words, st.none() | boxes)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(articles, max_size=5))
def test_articles_come_back_as_they_were_written(rows: list[Article]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_catalogue_batch(Path(folder), rows)
        assert read_catalogue_batch(Path(folder)).articles == tuple(rows)


@settings(max_examples=25, deadline=None)
@given(shown=st.lists(photos, max_size=5), links=st.lists(pairs, max_size=5))
def test_photos_and_pairs_come_back_as_they_were_written(shown: list[Photo], links: list[Pair]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_street_batch(Path(folder), shown, links)
        batch = read_street_batch(Path(folder))
        assert (batch.photos, batch.pairs) == (tuple(shown), tuple(links))


def test_a_street_batch_needs_no_pairs(tmp_path: Path) -> None:
    write_street_batch(tmp_path, [Photo("p")], [])
    (tmp_path / PAIRS).unlink()
    assert read_street_batch(tmp_path).pairs == ()


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThreadlineError, match=ARTICLES):
        read_catalogue_batch(tmp_path)
    with pytest.raises(ThreadlineError, match=PHOTOS):
        read_street_batch(tmp_path)


def test_optional_columns_may_be_missing_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    table = pa.table({"article_id": ["a", "b"], "op": ["upsert", "delete"], "season": ["summer", None]})
    write_table(tmp_path / ARTICLES, table)
    assert read_catalogue_batch(tmp_path).articles == (Article("a"), Article("b", op="delete"))


def test_a_null_inside_a_list_is_no_value_but_an_image_without_a_path(tmp_path: Path) -> None:
    given = {"article_id": ["a"], "op": ["upsert"], "images": [["a.jpg", None]], "sha256": [["0", None]]}
    attributes = pa.array([[("colour", None), ("fit", "slim")]], pa.map_(pa.string(), pa.string()))
    write_table(tmp_path / ARTICLES, pa.table(given | {"attributes": attributes, "assortments": [[None, "men"]]}))
    (article,) = read_catalogue_batch(tmp_path).articles
    assert (article.images, article.sha256) == (("a.jpg", ""), ("0",))
    assert (article.attributes, article.assortments) == ({"fit": "slim"}, ("men",))
    write_table(tmp_path / PHOTOS, pa.table({"photo_id": ["p"], "op": ["upsert"], "worn": [["top", None]]}))
    assert read_street_batch(tmp_path).photos[0].worn == ("top",)


@pytest.mark.parametrize("column", ["article_id", "op"])
def test_a_missing_or_empty_key_column_is_named(tmp_path: Path, column: str) -> None:
    write_catalogue_batch(tmp_path, [Article("a"), Article("b")])
    table = read_table(tmp_path / ARTICLES)
    write_table(tmp_path / ARTICLES, table.drop_columns([column]))
    with pytest.raises(ThreadlineError, match=f"'{column}' is missing"):
        read_catalogue_batch(tmp_path)
    hollow = pa.array(["x", None])
    write_table(tmp_path / ARTICLES, pa.table({"article_id": ["a", "b"], "op": ["upsert"] * 2} | {column: hollow}))
    with pytest.raises(ThreadlineError, match=f"'{column}' has empty rows"):
        read_catalogue_batch(tmp_path)


@pytest.mark.parametrize("content", [b"", b"article_id,op\na,upsert\n", b"PAR1 and then nothing PAR1"])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ARTICLES).write_bytes(content)
    with pytest.raises(ThreadlineError, match="is not a table of the batch format"):
        read_catalogue_batch(tmp_path)


def test_a_column_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / ARTICLES, pa.table({"article_id": ["a"], "op": ["upsert"], "price": ["cheap"]}))
    with pytest.raises(ThreadlineError, match="is not a table of the batch format"):
        read_catalogue_batch(tmp_path)


def test_a_box_without_its_reference_size_is_refused(tmp_path: Path) -> None:
    box = {"top": 1, "left": 2, "bottom": 3, "right": 4, "height": None, "width": None}
    kind = pa.struct([(side, pa.int32()) for side in box])
    table = pa.table({"photo_id": ["p"], "article_id": ["a"], "box": pa.array([box], kind)})
    write_street_batch(tmp_path, [Photo("p")], [])
    write_table(tmp_path / PAIRS, table)
    with pytest.raises(ThreadlineError, match="a box is incomplete"):
        read_street_batch(tmp_path)


@pytest.mark.parametrize("path", ["a.jpg", "images/a.jpg", "images/ü ñ.jpg", "images/..a.jpg", "./a.jpg"])
def test_paths_inside_a_batch(tmp_path: Path, path: str) -> None:
    assert inside(tmp_path, path) == tmp_path / path


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "../a.jpg", "images/../../a.jpg", "images\\..\\a.jpg", "a/..", "a\0.jpg"]
)
def test_paths_that_leave_a_batch(tmp_path: Path, path: str) -> None:
    with pytest.raises(ThreadlineError, match="leaves the batch"):
        inside(tmp_path, path)


def test_links_that_leave_a_batch(tmp_path: Path) -> None:
    batch, outside = tmp_path / "batch", tmp_path / "outside"
    (batch / "images").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.jpg").touch()
    (batch / "images" / "real.jpg").touch()
    (batch / "file.jpg").symlink_to(outside / "a.jpg")
    (batch / "folder").symlink_to(outside)
    (batch / "good.jpg").symlink_to(batch / "images" / "real.jpg")
    for path in ("file.jpg", "folder/a.jpg"):
        with pytest.raises(ThreadlineError, match="a link that leaves the batch"):
            inside(batch, path)
    assert inside(batch, "good.jpg").is_file()


@pytest.mark.parametrize("name", ["a", "2026-01", "0.1_b", "a" * 100])
def test_names_of_batches(name: str) -> None:
    assert check_batch_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "A", "a/b", "-a", "a b", "a\n", "ä", "a" * 101])
def test_names_that_no_batch_has(name: str) -> None:
    with pytest.raises(ThreadlineError, match="cannot name a batch"):
        check_batch_name(name)


def test_many_rows_come_back_in_order(tmp_path: Path) -> None:
    rows = [Pair(f"p{number}", f"a{number}") for number in range(MANY)]
    write_street_batch(tmp_path, [], rows)
    assert list(read_street_batch(tmp_path).pairs) == rows
