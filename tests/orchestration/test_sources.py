"""The importers: what they take, what they leave out and say so, and what they refuse."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.batches import inside, read_catalogue_batch, read_street_batch
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file
from contracts.masks import read_mask
from orchestration.sources.categories import map_category
from orchestration.sources.folder import AS_ATTRIBUTES, IDS, OTHERWISE, SHORT, deliver_folder
from orchestration.sources.folder_photos import deliver_folder_photos
from orchestration.sources.pictures import safe_name
from orchestration.sources.product_feed import deliver_product_feed
from orchestration.sources.report import ImportReport
from orchestration.sources.sample import SampleSize, deliver_sample
from orchestration.sources.tables import UNCLOSED
from orchestration.tables import merge_catalogue
from tests.orchestration.layouts import picture


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with four pictures, no CSV yet."""
    root = tmp_path / "shop"
    for number in range(4):
        picture(root / f"{number}.jpg", number)
    return root


def test_a_folder_becomes_a_catalogue_batch(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text(
        "image,article_id,name,category,price,in_stock,assortments,colour\n"
        '0.jpg,A/1,"Tee, white",T-Shirts,12.5,yes,summer|new,white\n'
        "1.jpg,A/1,,,,,,\n"
        "2.jpg,,,Garden Chair,,no,,\n"
    )
    report = deliver_folder(shop, tmp_path / "batch")
    first, second = read_catalogue_batch(tmp_path / "batch").articles
    assert (first.article_id, first.name, first.category, first.price) == ("A/1", "Tee, white", "t-shirt", 12.5)
    assert first.assortments == ("summer", "new")
    assert first.attributes == {"colour": "white"}
    assert first.in_stock is True
    assert len(first.images) == 2
    assert (second.article_id, second.category, second.in_stock) == ("2", "garden chair", False)
    assert dict(report.taken) == {"articles": 2, "images": 3}
    assert report.mapped == {("T-Shirts", "t-shirt"): 1}
    assert not report.left_out


def test_pictures_are_copied_as_they_are_and_named_by_what_they_are(shop: Path, tmp_path: Path) -> None:
    picture(shop / "lie.jpg", 9, format="PNG")
    (shop / "feed.csv").write_text("image\nlie.jpg\n")
    deliver_folder(shop, tmp_path / "batch")
    (article,) = read_catalogue_batch(tmp_path / "batch").articles
    assert article.images == ("images/lie.png",)
    copy = inside(tmp_path / "batch", article.images[0])
    assert copy.read_bytes() == (shop / "lie.jpg").read_bytes()
    assert article.sha256 == (sha256_of_file(copy),)


def test_articles_never_share_a_picture_file(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text("image,article_id\n0.jpg,A\n1.jpg,A\n2.jpg,A-1\n3.jpg,A/1\n")
    deliver_folder(shop, tmp_path / "batch")
    articles = read_catalogue_batch(tmp_path / "batch").articles
    named = [
        (image, digest) for article in articles for image, digest in zip(article.images, article.sha256, strict=True)
    ]
    assert len(dict(named)) == 4
    assert all(sha256_of_file(tmp_path / "batch" / image) == digest for image, digest in named)


def test_bad_rows_are_left_out_and_counted(shop: Path, tmp_path: Path) -> None:
    (shop / "text.jpg").write_text("not a picture")
    picture(tmp_path / "secret.jpg")
    (shop / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (shop / "feed.csv").write_text(
        "image,price,in_stock\n0.jpg,free,perhaps\nnone.jpg,,\ntext.jpg,,\n../secret.jpg,,\nlink.jpg,,\n,1,\n1.jpg,1,no,extra\n"
    )
    report = deliver_folder(shop, tmp_path / "batch")
    (article,) = read_catalogue_batch(tmp_path / "batch").articles
    assert article.article_id == "0"
    assert article.price is None
    assert article.in_stock is None
    assert sum(report.left_out.values()) == 8
    assert report.left_out["the path leaves the directory or cannot be one"] == 2
    missing = report.examples["the image is missing"][0]
    assert (missing.file, missing.row, missing.detail) == ("feed.csv", 3, "none.jpg")
    assert any("line 3: none.jpg" in line for line in report.lines())
    assert report.as_json()["taken"] == {"articles": 1, "images": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"picture,name\n0.jpg,x\n", "the column 'image' is missing"),
        (b"image,image\n0.jpg,1.jpg\n", "is there twice"),
        ("image,name\n0.jpg,café\n".encode("latin-1"), "is not in UTF-8"),
        ("image\n0.jpg\n".encode("utf-16-le"), "is not plain text"),
        (b"image\n", "nothing of"),
        (b"image\nnone.jpg\n", "the image is missing (1; feed.csv line 2: none.jpg)"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused_with_a_remedy(
    shop: Path, tmp_path: Path, content: bytes, says: str
) -> None:
    (shop / "feed.csv").write_bytes(content)
    with pytest.raises(ThreadlineError) as refusal:
        deliver_folder(shop, tmp_path / "batch")
    assert says in refusal.value.problem
    assert refusal.value.remedy
    assert not (tmp_path / "batch").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


@pytest.mark.parametrize("content", ["\ufeffimage;name\n0.jpg;Bluse\n", "image\tname\r\n0.jpg\tBluse\r\n"])
def test_byte_order_marks_and_other_separators_are_understood(shop: Path, tmp_path: Path, content: str) -> None:
    (shop / "feed.csv").write_bytes(content.encode())
    deliver_folder(shop, tmp_path / "batch")
    assert read_catalogue_batch(tmp_path / "batch").articles[0].name == "Bluse"


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(ThreadlineError):
            deliver_folder(source, tmp_path / "batch")
        with pytest.raises(ThreadlineError):
            deliver_folder_photos(source, tmp_path / "batch")
        with pytest.raises(ThreadlineError):
            deliver_product_feed(source, tmp_path / "batch")


def test_two_csv_files_need_one_to_be_named(shop: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (shop / name).write_text("image\n0.jpg\n")
    with pytest.raises(ThreadlineError, match="several"):
        deliver_folder(shop, tmp_path / "batch")
    assert deliver_folder(shop, tmp_path / "batch", table=shop / "b.csv").taken["articles"] == 1


def test_photos_with_pairs_and_masks_become_a_street_batch(shop: Path, tmp_path: Path) -> None:
    mask = np.zeros((80, 100), dtype=np.uint8)
    mask[10:60, 20:70] = 255
    Image.fromarray(mask).save(shop / "0-mask.png")
    (shop / "photos.csv").write_text(
        "photo,article_id,domain,mask\n0.jpg,A,studio,0-mask.png\n0.jpg,B,,\n1.jpg,,,gone.png\n2.jpg,C,moon,\n3.jpg,A,,\n"
    )
    report = deliver_folder_photos(shop, tmp_path / "batch")
    batch = read_street_batch(tmp_path / "batch")
    assert [(photo.photo_id, photo.domain) for photo in batch.photos] == [
        ("0", "studio"),
        ("1", "street"),
        ("3", "street"),
    ]
    assert {(pair.photo_id, pair.article_id) for pair in batch.pairs} == {("0", "A"), ("0", "B"), ("3", "A")}
    written = read_mask(tmp_path / "batch" / str(batch.photos[0].mask))
    np.testing.assert_array_equal(written, mask > 0)
    assert batch.photos[1].mask is None
    assert sum(report.left_out.values()) == 2
    assert any("street or studio" in reason for reason in report.left_out)


def test_a_product_feed_maps_its_columns(shop: Path, tmp_path: Path) -> None:
    (shop / "styles.csv").write_text(
        "id,articleType,baseColour,productDisplayName\n0,Tshirts,Red,A red tee\n7,Jeans,Blue,x\n"
    )
    report = deliver_product_feed(shop, tmp_path / "batch")
    (article,) = read_catalogue_batch(tmp_path / "batch").articles
    assert (article.article_id, article.name, article.category) == ("0", "A red tee", "t-shirt")
    assert article.attributes == {"baseColour": "Red"}
    assert report.left_out == {"the image is missing": 1}


def test_photos_of_the_same_name_and_broken_ones_are_left_out(shop: Path, tmp_path: Path) -> None:
    picture(shop / "later/0.jpg", 7)
    (shop / "text.jpg").write_text("not a picture")
    (shop / "mask.png").write_text("not a mask")
    rows = "0.jpg,A,mask.png\nlater/0.jpg,B,\ntext.jpg,C,\n../0.jpg,A,\n0.jpg,C,\n0.jpg,C,\n1.jpg,D,\n"
    (shop / "photos.csv").write_text("photo,article_id,mask\n" + rows)
    report = deliver_folder_photos(shop, tmp_path / "batch", limit=2)
    batch = read_street_batch(tmp_path / "batch")
    assert [(pair.photo_id, pair.article_id) for pair in batch.pairs] == [("0", "A"), ("0", "C")]
    assert [photo.mask for photo in batch.photos] == [None]
    lines = {reason: [one.row for one in examples] for reason, examples in report.examples.items()}
    assert lines == {
        "another photo has this name, which is its id": [3],
        "the picture cannot be read": [4],
        "the path leaves the directory or cannot be one": [5],
        "the mask cannot be read (the photo is taken without it)": [2],
    }


def test_the_sample_is_the_same_every_time_and_consistent(tmp_path: Path) -> None:
    size = SampleSize(garments=10, packshots_each=2, photos_each=2, packshot=(64, 48), photo=(96, 64))
    for run, workers in (("a", 1), ("b", 2)):
        deliver_sample(tmp_path / run / "catalogue", tmp_path / run / "street", seed=4, size=size, workers=workers)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert all((tmp_path / "a" / one).read_bytes() == (tmp_path / "b" / one).read_bytes() for one in files)
    articles = read_catalogue_batch(tmp_path / "a" / "catalogue").articles
    street = read_street_batch(tmp_path / "a" / "street")
    assert len(articles) == 10
    assert {photo.domain for photo in street.photos} == {"street", "studio"}
    assert {pair.article_id for pair in street.pairs} <= {article.article_id for article in articles}
    for photo in street.photos:
        assert read_mask(tmp_path / "a" / "street" / str(photo.mask)).shape == (96, 64)
    assert all(pair.box is not None and (pair.box.height, pair.box.width) == (96, 64) for pair in street.pairs)


def test_a_later_part_of_the_wardrobe_shares_no_id_with_an_earlier_one(tmp_path: Path) -> None:
    size = SampleSize(garments=6, packshot=(48, 48), photo=(64, 48))
    ids = []
    for first in (0, 6):
        deliver_sample(tmp_path / f"c{first}", tmp_path / f"s{first}", size=size, first=first, workers=1)
        articles = {article.article_id for article in read_catalogue_batch(tmp_path / f"c{first}").articles}
        ids.append(articles | {photo.photo_id for photo in read_street_batch(tmp_path / f"s{first}").photos})
    assert not ids[0] & ids[1]


def test_file_names_are_plain_and_tell_ids_apart() -> None:
    keys = ["a/b", "a_b", "a\\b", "..", ".hidden", "ü", "x" * 300, "SKU-1.2"]
    names = [safe_name(key) for key in keys]
    assert len(set(names)) == len(names)
    assert names[-1] == "SKU-1.2"
    assert all("/" not in name and not name.startswith(".") and len(name) <= 120 for name in names)


def test_only_clear_synonyms_are_mapped() -> None:
    report = ImportReport("x")
    given = ["T-Shirts", "top", "Rain  Jacket", "Chinos", ""]
    assert [map_category(one, report.mapped) for one in given] == ["t-shirt", "top", "rain jacket", "trousers", ""]
    assert set(report.mapped) == {("T-Shirts", "t-shirt"), ("Chinos", "trousers")}


def test_images_of_one_name_are_not_taken_for_one_article(shop: Path, tmp_path: Path) -> None:
    picture(shop / "skirt/0.jpg", 7)
    (shop / "feed.csv").write_text("image,article_id\n0.jpg,\nskirt/0.jpg,\nskirt/0.jpg,S\n1.jpg,S\n")
    report = deliver_folder(shop, tmp_path / "batch")
    articles = read_catalogue_batch(tmp_path / "batch").articles
    assert [(one.article_id, len(one.images)) for one in articles] == [("0", 1), ("S", 2)]
    ((reason, (left_out,)),) = report.examples.items()
    assert "name, which is its id" in reason
    assert (left_out.row, left_out.detail) == (3, "skirt/0.jpg")


@pytest.mark.parametrize(
    ("given", "price"),
    [("12.5", 12.5), ("12,50", 12.5), ("0,125", 0.125), ("1299", 1299.0), ("1299.000", 1299.0)]
    + [(given, None) for given in ("1,299", "1.299", "12,000", "1,299.00", "inf", "-1")],
)
def test_a_price_that_can_be_read_in_two_ways_is_not_guessed(
    shop: Path, tmp_path: Path, given: str, price: float | None
) -> None:
    (shop / "feed.csv").write_text(f'image,price\n0.jpg,"{given}"\n')
    report = deliver_folder(shop, tmp_path / "batch")
    (article,) = read_catalogue_batch(tmp_path / "batch").articles
    assert (article.price, sum(report.left_out.values())) == (price, int(price is None))


def test_names_that_differ_in_capitals_or_accents_only_are_found(shop: Path, tmp_path: Path) -> None:
    (shop / "0.jpg").rename(shop / "4711.JPG")
    (shop / "1.jpg").rename(shop / unicodedata.normalize("NFD", "Röcke.jpg"))
    (shop / "2.jpg").rename(shop / "b.jpg")
    (shop / "3.jpg").rename(shop / "B.JPG")
    rows = ["4711", "4711.jpg", unicodedata.normalize("NFC", "RÖCKE.jpg"), "b.jpg", "b.jpeg"]
    (shop / "feed.csv").write_text(
        "\n".join(["article_id,image", *(f"{n},{row}" for n, row in enumerate(rows))]) + "\n"
    )
    report = deliver_folder(shop, tmp_path / "batch")
    assert [one.article_id for one in read_catalogue_batch(tmp_path / "batch").articles] == ["0", "1", "2", "3"]
    (left_out,) = report.examples["the image is missing"]
    assert left_out.row == 6


def test_rows_of_one_article_that_say_something_else_are_reported(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text(
        "Article ID,Image,Name,Category,Price,Size\n"
        "A,none.jpg,Red dress,dress,10,S\n"
        "A,0.jpg,Red dress,dress,10,S\n"
        "A,0.jpg,Red dress,,10,M\n"
        "A,1.jpg,Blue trousers,trousers,99,S\n"
    )
    report = deliver_folder(shop, tmp_path / "batch")
    (article,) = read_catalogue_batch(tmp_path / "batch").articles
    assert (article.name, article.category, article.price) == ("Red dress", "dress", 10.0), (
        "though its image is missing"
    )
    assert len(article.images) == 1, "one for all sizes"
    assert report.counts[AS_ATTRIBUTES] == {"Size": 4}
    (other,) = report.examples["an earlier row of this article says something else"]
    assert (other.row, other.detail) == (5, "Red dress / Blue trousers; dress / trousers")


def test_without_ids_two_rows_of_one_image_are_not_one_article(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text("image,number\n0.jpg,4711\n0.jpg,4712\n")
    report = deliver_folder(shop, tmp_path / "batch")
    assert report.counts[IDS] == {"taken from the images' names": 2}
    assert report.left_out == {"another row has this image, or its name, which is its id": 1}


def test_a_row_takes_an_article_out(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text(
        "image,article_id,op\n0.jpg,A,\n,B,delete\n1.jpg,C,DELETE\n2.jpg,D,remove\n3.jpg,,delete\n"
    )
    report = deliver_folder(shop, tmp_path / "batch")
    found = {one.article_id: one.op for one in read_catalogue_batch(tmp_path / "batch").articles}
    assert found == {"A": "upsert", "B": "delete", "C": "delete"}
    assert report.left_out == {"'op' is not upsert, or delete with an article_id": 2}


def test_an_article_that_is_taken_out_is_not_quietly_kept(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text("image,article_id,op\n0.jpg,A,upsert\n,A,delete\n1.jpg,B,\n")
    report = deliver_folder(shop, tmp_path / "batch")
    (left_out,) = report.examples["another row takes its article out"]
    assert (left_out.row, left_out.detail) == (2, "A")


def test_an_update_keeps_the_images_that_there_are(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text("image,article_id,category,price,op\n0.jpg,A,dress,10,\n1.jpg,B,skirt,20,\n")
    deliver_folder(shop, tmp_path / "old")
    (shop / "feed.csv").write_text(
        "image,article_id,category,price,op\n,A,dress,9,upsert\n,B,skirt,19,\nnone.jpg,C,skirt,1,upsert\n,,skirt,1,upsert\n"
    )
    report = deliver_folder(shop, tmp_path / "new")
    assert dict(report.taken) == {"articles": 1, "images": 0}
    assert report.left_out == {"the row names no image": 2, "the image is missing": 1}
    both = [(name, read_catalogue_batch(tmp_path / name)) for name in ("old", "new")]
    merged = {one.article_id: (one.price, len(one.images)) for one in merge_catalogue(both)}
    assert merged == {"A": (9.0, 1), "B": (20.0, 1)}


def test_rows_whose_values_do_not_all_count_are_told(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text(
        "image,article_id,price,in_stock\n0.jpg,A,10,no\n0.jpg,A,12,yes\n0.jpg,A,10,yes\n1.jpg,B\n2.jpg,C,\n"
    )
    report = deliver_folder(shop, tmp_path / "batch")
    assert report.counts[OTHERWISE] == {"price": 1, "in_stock": 2}
    assert report.counts[SHORT] == {"from line 5 on": 2}
    assert not report.left_out


def test_a_quote_closed_in_a_later_row_costs_no_other_article(shop: Path, tmp_path: Path) -> None:
    (shop / "feed.csv").write_text(
        'image,name,colour\n0.jpg,"Skirt,red\n1.jpg,Skirt,red\n2,7" heels,red\n3.jpg,5",red\n'
    )
    report = deliver_folder(shop, tmp_path / "batch")
    assert [one.article_id for one in read_catalogue_batch(tmp_path / "batch").articles] == ["1", "2", "3"]
    assert report.left_out == {UNCLOSED: 1}
    (shop / "photos.csv").write_text('photo,article_id\n0.jpg,"a\n1.jpg,b"\n')
    deliver_folder_photos(shop, tmp_path / "street")
    assert [one.photo_id for one in read_street_batch(tmp_path / "street").photos] == ["1"]


def test_a_photo_is_called_after_its_file(shop: Path, tmp_path: Path) -> None:
    (shop / "0.jpg").rename(shop / "look.1.jpg")
    (shop / "1.jpg").rename(shop / "look.2.jpg")
    (shop / "photos.csv").write_text("photo,article_id\nlook.1,a\nlook.2,b\n")
    deliver_folder_photos(shop, tmp_path / "batch")
    batch = read_street_batch(tmp_path / "batch")
    assert [(one.photo_id, one.article_id) for one in batch.pairs] == [("look.1", "a"), ("look.2", "b")]
