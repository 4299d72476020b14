"""The sources that are read as published: what becomes of small folders of exactly that layout, mistakes included."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.batches import Box, Pair, read_catalogue_batch, read_street_batch
from contracts.errors import ThreadlineError
from contracts.masks import read_mask
from contracts.vocabulary import CATEGORIES
from orchestration.sources.chictopia10k import deliver_chictopia10k
from orchestration.sources.clothing_co_parsing import deliver_clothing_co_parsing
from orchestration.sources.deepfashion import deliver_deepfashion
from orchestration.sources.folder import deliver_folder
from orchestration.sources.lookbook import deliver_lookbook
from orchestration.sources.product_feed import deliver_product_feed
from orchestration.sources.published import PUBLISHED, Published
from orchestration.sources.report import ImportReport
from orchestration.sources.street2shop import deliver_street2shop
from orchestration.sources.viton import deliver_viton
from tests.orchestration import layouts

BOX_REFUSED = "the box does not fit its photo (the pair is taken without it)"


def pairs_of(street: Path) -> dict[tuple[str, str], Box | None]:
    return {(pair.photo_id, pair.article_id): pair.box for pair in read_street_batch(street).pairs}


def articles_of(catalogue: Path) -> dict[str, tuple[str, int]]:
    """Category and number of images by article."""
    found = read_catalogue_batch(catalogue).articles
    return {article.article_id: (article.category, len(article.images)) for article in found}


def place_of(report: ImportReport, reason: str) -> tuple[str, int | None]:
    example = report.examples[reason][0]
    return example.file, example.row


def test_viton_becomes_two_batches(tmp_path: Path) -> None:
    root = layouts.viton(tmp_path / "viton", pairs=3)
    (root / "cloth/000002_1.jpg").unlink()
    (root / "person/000001_0.jpg").write_text("not a picture")
    report = deliver_viton(root, tmp_path / "c", tmp_path / "s")
    assert pairs_of(tmp_path / "s") == {("000000_0", "000000_1"): None}
    assert {photo.domain for photo in read_street_batch(tmp_path / "s").photos} == {"studio"}
    assert articles_of(tmp_path / "c") == {"000000_1": ("top", 1), "000001_1": ("top", 1)}
    assert dict(report.taken) == {"articles": 2, "photos": 1, "pairs": 1}
    assert place_of(report, "the picture is missing") == ("pairs.csv", 4)
    assert place_of(report, "the picture cannot be read") == ("pairs.csv", 3)
    assert place_of(report, "no picture of the article that the photo shows") == ("pairs.csv", 4)


def test_viton_paths_cannot_leave_the_folder(tmp_path: Path) -> None:
    root = layouts.viton(tmp_path / "viton", pairs=1)
    layouts.picture(tmp_path / "secret.jpg")
    with (root / "pairs.csv").open("a") as file:
        file.write("../../secret.jpg,000000_1.jpg\n")
    report = deliver_viton(root, tmp_path / "c", tmp_path / "s")
    assert report.left_out == {"the person picture is not named, or leaves the directory": 1}
    assert len(read_street_batch(tmp_path / "s").photos) == 1


def test_clothing_co_parsing_gives_masks_and_what_is_worn(tmp_path: Path) -> None:
    root = layouts.clothing_co_parsing(tmp_path / "ccp")
    report = deliver_clothing_co_parsing(root, tmp_path / "s")
    first, second, third = read_street_batch(tmp_path / "s").photos
    expected = layouts.label_map((80, 100), 2, 3, 1) > 0
    np.testing.assert_array_equal(read_mask(tmp_path / "s" / str(first.mask)), expected)
    assert (first.worn, second.worn, third.worn) == (("shirt", "trousers"), ("dress",), ())
    assert (second.mask, third.mask) == (None, None)
    assert dict(report.taken) == {"photos": 3, "masks": 1}
    assert report.counts["worn"] == {"shirt": 1, "trousers": 1, "dress": 1}
    assert report.mapped == {("blouse", "shirt"): 1, ("jeans", "trousers"): 1}
    assert "  worn: shirt 1, trousers 1, dress 1" in report.lines()


def test_clothing_co_parsing_without_usable_labels_is_taken_without(tmp_path: Path) -> None:
    from scipy.io import savemat

    root = layouts.clothing_co_parsing(tmp_path / "ccp")
    pixels = root / "annotations" / "pixel-level"
    (pixels / "0001.mat").write_bytes(b"not MATLAB")
    savemat(pixels / "0002.mat", {"groundtruth": layouts.label_map((60, 60), 2)})
    savemat(pixels / "0003.mat", {"something": np.zeros(3)})
    (root / "label_list.mat").unlink()
    report = deliver_clothing_co_parsing(root, tmp_path / "s")
    assert dict(report.taken) == {"photos": 3, "masks": 0}
    assert report.left_out["the labels cannot be read (the photo is taken without a mask)"] == 2
    assert report.left_out["the labels are of another size (the photo is taken without a mask)"] == 1
    assert place_of(report, "what is worn is not known") == ("label_list.mat", None)


def test_clothing_co_parsing_with_damaged_labels_is_taken_without(tmp_path: Path) -> None:
    from scipy.io import savemat

    root = layouts.clothing_co_parsing(tmp_path / "ccp")
    labels = root / "annotations/pixel-level/0001.mat"
    savemat(labels, {"groundtruth": layouts.label_map((80, 100), 2, 3, 1)}, do_compression=True)
    whole = labels.read_bytes()
    labels.write_bytes(whole[:140] + bytes(40) + whole[180:])
    report = deliver_clothing_co_parsing(root, tmp_path / "s")
    assert dict(report.taken) == {"photos": 3, "masks": 0}
    assert report.left_out == {"the labels cannot be read (the photo is taken without a mask)": 1}


def test_chictopia10k_background_is_label_0(tmp_path: Path) -> None:
    report = deliver_chictopia10k(layouts.chictopia10k(tmp_path / "chictopia"), tmp_path / "s")
    first, second, third = read_street_batch(tmp_path / "s").photos
    assert first.photo_id == "chictopia10k-1_1"
    expected = layouts.label_map((80, 100), 4, 5) > 0
    np.testing.assert_array_equal(read_mask(tmp_path / "s" / str(first.mask)), expected)
    assert (first.worn, second.worn) == (("skirt",), ("trousers",))
    assert third.mask is None
    assert dict(report.taken) == {"photos": 3, "masks": 2}
    refused = report.examples["the labels are of another size (the photo is taken without a mask)"][0]
    assert (refused.file, refused.detail) == ("JPEGImages/3_1.jpg", "50 x 40 px, the photo 100 x 80")


def test_chictopia10k_palettes_are_labels_and_colours_are_not(tmp_path: Path) -> None:
    root = layouts.chictopia10k(tmp_path / "humanparsing").rename(tmp_path / "inner")
    (tmp_path / "packed").mkdir()
    root = root.rename(tmp_path / "packed" / "humanparsing")
    maps = root / "SegmentationClassAug"
    with_palette = Image.fromarray(layouts.label_map((80, 100), 7)).convert("P")
    with_palette.putpalette([200, 10, 10] * 256)
    with_palette.putdata(layouts.label_map((80, 100), 7).ravel().tolist())
    with_palette.save(maps / "1_1.png")
    Image.fromarray(np.zeros((80, 100, 3), dtype=np.uint8)).save(maps / "2_1.png")
    (maps / "3_1.png").unlink()
    (root / "JPEGImages/4_1.jpg").write_bytes(b"\xff\xd8\xff")
    report = deliver_chictopia10k(tmp_path / "packed", tmp_path / "s")
    photos = read_street_batch(tmp_path / "s").photos
    assert [(photo.mask is None, photo.worn) for photo in photos] == [(False, ("dress",)), (True, ()), (True, ())]
    assert report.left_out == {
        "the labels cannot be read (the photo is taken without a mask)": 2,
        "the photo cannot be read": 1,
    }


def test_a_feed_keeps_the_eight_categories_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    root = layouts.product_feed(tmp_path / "feed", ("Tshirts", "Casual Shoes", "Track Pants", "Casual Shoes"))
    report = deliver_product_feed(root, tmp_path / "some")
    assert articles_of(tmp_path / "some") == {"0": ("t-shirt", 1), "2": ("trousers", 1)}
    assert report.counts["categories left out"] == {"Casual Shoes": 2}
    assert place_of(report, "none of the eight categories (kept with --all-categories)") == ("styles.csv", 3)
    assert report.mapped == {("Tshirts", "t-shirt"): 1, ("Track Pants", "trousers"): 1}
    everything = deliver_product_feed(root, tmp_path / "all", all_categories=True)
    assert articles_of(tmp_path / "all")["1"] == ("casual shoes", 1)
    assert not everything.left_out


def test_consumer_to_shop_becomes_articles_of_shop_pictures_and_consumers_photos(tmp_path: Path) -> None:
    report = deliver_deepfashion(layouts.consumer_to_shop(tmp_path / "df"), tmp_path / "c", tmp_path / "s")
    assert articles_of(tmp_path / "c") == {
        "consumer2shop-id_00000001": ("shirt", 2),
        "consumer2shop-id_00000002": ("dress", 1),
    }
    street = read_street_batch(tmp_path / "s")
    assert [photo.domain for photo in street.photos] == ["street"] * 3
    first = Pair(
        "consumer2shop/TOPS/Blouse_Shirt/id_00000001/consumer_01",
        "consumer2shop-id_00000001",
        Box(top=5, left=10, bottom=75, right=90, height=80, width=100),
    )
    assert first in street.pairs
    assert dict(report.taken) == {"articles": 2, "photos": 3, "pairs": 3, "boxes": 3}
    assert not report.left_out


def test_in_shop_takes_the_garment_alone_for_the_article(tmp_path: Path) -> None:
    report = deliver_deepfashion(layouts.in_shop(tmp_path / "df"), tmp_path / "c", tmp_path / "s")
    assert articles_of(tmp_path / "c") == {"inshop-id_00000001": ("t-shirt", 1), "inshop-id_00000002": ("t-shirt", 1)}
    folder = "inshop/WOMEN/Graphic_Tees"
    assert set(pairs_of(tmp_path / "s")) == {
        (f"{folder}/id_00000001/01_1_front", "inshop-id_00000001"),
        (f"{folder}/id_00000001/01_3_back", "inshop-id_00000001"),
        (f"{folder}/id_00000002/01_2_side", "inshop-id_00000002"),
    }
    assert all(box is not None and (box.height, box.width) == (256, 256) for box in pairs_of(tmp_path / "s").values())
    assert {photo.domain for photo in read_street_batch(tmp_path / "s").photos} == {"studio"}
    assert {tuple(one.attributes.items()) for one in read_catalogue_batch(tmp_path / "c").articles} == {
        (("department", "women"),)
    }
    assert not report.left_out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("10 5 101 75", "the box (10, 5) to (101, 75) is not inside the 100 x 80 px of the photo"),
        ("-1 5 90 75", "the box (-1, 5) to (90, 75) is not inside"),
        ("90 5 10 75", "is not inside"),
        ("10 5 10 75", "is not inside"),
    ],
)
def test_a_box_outside_its_picture_is_refused_by_file_and_line(tmp_path: Path, given: str, says: str) -> None:
    root = layouts.consumer_to_shop(tmp_path / "df")
    boxes = root / "Anno/list_bbox_consumer2shop.txt"
    boxes.write_text(boxes.read_text().replace("10 5 90 75", given, 1))
    report = deliver_deepfashion(root, tmp_path / "c", tmp_path / "s")
    assert (len(pairs_of(tmp_path / "s")), report.taken["boxes"]) == (3, 2)
    assert place_of(report, BOX_REFUSED) == ("list_bbox_consumer2shop.txt", 3)
    assert says in report.examples[BOX_REFUSED][0].detail


def test_boxes_of_another_resolution_are_refused_even_where_they_would_fit(tmp_path: Path) -> None:
    root = layouts.in_shop(tmp_path / "df")
    for number, file in enumerate(sorted((root / "Img").rglob("*.jpg"))):
        layouts.picture(file, number, size=(1101, 750))
    report = deliver_deepfashion(root, tmp_path / "c", tmp_path / "s")
    assert list(pairs_of(tmp_path / "s").values()) == [None] * 3
    assert "the photo is 750 x 1101 px, its box is of one of at most 256 px" in report.examples[BOX_REFUSED][0].detail


def test_deepfashion_rows_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    root = layouts.consumer_to_shop(tmp_path / "df")
    folder = "img/TOPS/Blouse_Shirt/id_00000001"
    (root / "Img" / folder / "consumer_02.jpg").unlink()
    partition = root / "Eval/list_eval_partition.txt"
    more = (
        f"{folder}/consumer_09.jpg {folder}/shop_01.jpg id_00000009 train",
        f"../../{folder}/consumer_01.jpg {folder}/shop_01.jpg id_00000001 train",
        f"img/consumer_01.jpg {folder}/shop_01.jpg id_00000001 train",
        f"{folder.replace('img', 'photos')}/consumer_01.jpg {folder}/shop_01.jpg id_00000001 train",
        f"{folder}/consumer_01.jpg {folder}/shop_01.jpg",
    )
    partition.write_text(partition.read_text() + "\n".join(more) + "\n")
    boxes = root / "Anno/list_bbox_consumer2shop.txt"
    boxes.write_text(boxes.read_text().replace("10 5 90 75", "10 5 x 75", 1))
    report = deliver_deepfashion(root, tmp_path / "c", tmp_path / "s")
    assert dict(report.taken) == {"articles": 2, "photos": 2, "pairs": 2, "boxes": 1}
    assert place_of(report, "the picture is missing") == ("list_eval_partition.txt", 4)
    assert place_of(report, "the item is not in the list of items") == ("list_eval_partition.txt", 7)
    assert place_of(report, "the path leaves the directory") == ("list_eval_partition.txt", 8)
    wrong = report.examples["the path is not img/…/<category>/<item>/<picture>"]
    assert [(one.file, one.row) for one in wrong] == [("list_eval_partition.txt", 9), ("list_eval_partition.txt", 10)]
    assert place_of(report, "the row has other fields than line 2 names") == ("list_eval_partition.txt", 11)
    assert place_of(report, "the box is not four whole numbers") == ("list_bbox_consumer2shop.txt", 3)
    assert place_of(report, "the list is not as long as it says") == ("list_eval_partition.txt", 1)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("Eval/list_eval_partition.txt", None, "holds no list_eval_partition.txt"),
        ("Eval/list_eval_partition.txt", b"", "line 1: '' is not the number of its rows"),
        ("Eval/list_eval_partition.txt", b"1\nimage_name item_id\n", "line 2: there is no field 'image_pair_name_1'"),
        ("Eval/list_eval_partition.txt", b"1\n\xff\xfe\n", "is not in UTF-8"),
        ("Anno/list_bbox_consumer2shop.txt", None, "holds neither list_bbox_consumer2shop.txt nor"),
        ("Anno/list_bbox_consumer2shop.txt", b"many\n", "line 1: 'many' is not the number"),
        ("Anno/list_bbox_inshop.txt", b"0\n", "holds the lists of both benchmarks"),
    ],
)
def test_deepfashion_without_usable_lists_is_refused(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    root = layouts.consumer_to_shop(tmp_path / "df")
    if content is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(content)
    with pytest.raises(ThreadlineError) as refusal:
        deliver_deepfashion(root, tmp_path / "c", tmp_path / "s")
    assert says in refusal.value.problem
    assert refusal.value.remedy
    assert not (tmp_path / "c").exists() and not (tmp_path / "s").exists()


def test_street2shop_becomes_products_and_photos_with_boxes(tmp_path: Path) -> None:
    report = deliver_street2shop(layouts.street2shop(tmp_path / "s2s"), tmp_path / "c", tmp_path / "s")
    assert articles_of(tmp_path / "c") == {"street2shop-7": ("dress", 2), "street2shop-8": ("bags", 1)}
    box = Box(top=5, left=10, bottom=75, right=70, height=80, width=100)
    assert pairs_of(tmp_path / "s") == {
        ("street2shop-3", "street2shop-7"): box,
        ("street2shop-4", "street2shop-7"): box,
        ("street2shop-4", "street2shop-8"): box,
    }
    assert dict(report.taken) == {"articles": 2, "photos": 2, "pairs": 3, "boxes": 3}
    assert not report.left_out


def test_street2shop_counts_what_was_not_downloaded_and_says_where_it_was(tmp_path: Path) -> None:
    root = layouts.street2shop(tmp_path / "s2s")
    (root / "images/dresses/000000003.jpeg").unlink()
    (root / "images/bags/000000005.jpeg").write_text("<html>Not found</html>")
    report = deliver_street2shop(root, tmp_path / "c", tmp_path / "s")
    assert set(pairs_of(tmp_path / "s")) == {("street2shop-4", "street2shop-7")}
    missing = report.examples["the picture is missing"][0]
    assert (missing.file, missing.detail) == (
        "train_pairs_dresses.json",
        "entry 1: photo 3 (http://shop.example/3.jpg)",
    )
    assert report.left_out["the picture cannot be read"] == 1
    assert report.left_out["no picture of the article that the photo shows"] == 1


def test_street2shop_entries_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    root = layouts.street2shop(tmp_path / "s2s")
    box = {"left": 10, "top": 5, "width": 60, "height": 70}
    found = [
        {"photo": 3, "product": 7, "bbox": {**box, "width": 600}},
        {"photo": 3, "product": 7, "bbox": box},
        {"photo": 4, "product": 99, "bbox": box},
        {"photo": 4, "product": 7, "bbox": "left"},
        {"photo": "x", "product": 7},
        {"photo": float("inf"), "product": 7},
        None,
    ]
    layouts.entries(root, "train_pairs_dresses", found)
    report = deliver_street2shop(root, tmp_path / "c", tmp_path / "s")
    assert pairs_of(tmp_path / "s").keys() == {
        ("street2shop-3", "street2shop-7"),
        ("street2shop-4", "street2shop-7"),
        ("street2shop-4", "street2shop-8"),
    }
    assert report.left_out == {
        "a further box of the same photo and product": 1,
        "the box is not four numbers (the pair is taken without it)": 1,
        "the entry names no photo and product": 3,
        "nothing is known of the article that the photo shows": 1,
        BOX_REFUSED: 1,
    }


def test_street2shop_takes_no_more_than_the_limit_and_only_its_products(tmp_path: Path) -> None:
    root = layouts.street2shop(tmp_path / "s2s")
    report = deliver_street2shop(root, tmp_path / "c", tmp_path / "s", limit=1)
    assert report.taken["pairs"] == 1
    assert articles_of(tmp_path / "c") == {"street2shop-8": ("bags", 1)}


@pytest.mark.parametrize("content", ["{", '{"photo": 1}', ""])
def test_a_street2shop_list_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    root = layouts.street2shop(tmp_path / "s2s")
    (root / "meta/json/retrieval_bags.json").write_text(content)
    with pytest.raises(ThreadlineError, match=r"retrieval_bags\.json"):
        deliver_street2shop(root, tmp_path / "c", tmp_path / "s")


def test_lookbook_pairs_come_from_the_names(tmp_path: Path) -> None:
    root = layouts.lookbook(tmp_path / "lookbook")
    layouts.picture(root / "data/PID000002_CLEAN0_IID000009.jpg", 9)
    layouts.picture(root / "data/PID3_CLEAN1.jpg", 10)
    (root / "data/PID000001_CLEAN0_IID000005.jpg").write_bytes(b"")
    report = deliver_lookbook(root, tmp_path / "c", tmp_path / "s")
    assert articles_of(tmp_path / "c") == {"PID000000": ("top", 1), "PID000001": ("top", 1)}
    assert set(pairs_of(tmp_path / "s")) == {
        ("PID000000_CLEAN0_IID000000", "PID000000"),
        ("PID000000_CLEAN0_IID000001", "PID000000"),
        ("PID000001_CLEAN0_IID000003", "PID000001"),
    }
    assert {photo.domain for photo in read_street_batch(tmp_path / "s").photos} == {"street"}
    assert report.left_out == {
        "the name is not PID######_CLEAN#_IID######": 1,
        "nothing is known of the article that the photo shows": 1,
        "the picture cannot be read": 1,
    }
    assert deliver_lookbook(root, tmp_path / "c1", tmp_path / "s1", limit=1).taken["articles"] == 1


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: one.name)
def test_a_source_that_is_missing_or_empty_is_refused(tmp_path: Path, published: Published) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"catalogue": tmp_path / "c", "street": tmp_path / "s"}
    for path in (tmp_path / "nowhere", tmp_path / "empty", tmp_path / "file"):
        with pytest.raises(ThreadlineError) as refusal:
            published.into(path, places, lambda *told: None, None)
        assert str(path) in refusal.value.problem
        assert refusal.value.remedy
    assert not (tmp_path / "c").exists() and not (tmp_path / "s").exists()


def test_the_same_folder_gives_the_same_batches_byte_by_byte(tmp_path: Path) -> None:
    roots = {one.name: tmp_path / one.name for one in PUBLISHED}
    layouts.viton(roots["viton"])
    layouts.clothing_co_parsing(roots["clothing-co-parsing"])
    layouts.chictopia10k(roots["chictopia10k"])
    layouts.in_shop(roots["deepfashion"])
    layouts.street2shop(roots["street2shop"])
    layouts.lookbook(roots["lookbook"])
    for one in PUBLISHED:
        written = []
        for turn in ("a", "b"):
            out = tmp_path / "out" / turn / one.name
            one.into(roots[one.name], {"catalogue": out / "c", "street": out / "s"}, lambda *told: None, None)
            files = sorted(path for path in out.rglob("*") if path.is_file())
            written.append([(path.relative_to(out), path.read_bytes()) for path in files])
            shutil.rmtree(out)
        assert written[0] == written[1]


@pytest.mark.real_data
def test_published_layouts_are_taken_whole(real_data: Path, tmp_path: Path) -> None:
    viton = deliver_viton(real_data / "viton", tmp_path / "vc", tmp_path / "vs", limit=30)
    parsing = deliver_clothing_co_parsing(real_data / "clothing-co-parsing", tmp_path / "ccp", limit=15)
    feed = deliver_product_feed(real_data / "fashion-product-images", tmp_path / "feed", limit=40)
    whole = deliver_product_feed(real_data / "fashion-product-images", tmp_path / "all", all_categories=True, limit=40)
    home = deliver_folder(real_data / "clothing-dataset", tmp_path / "home", columns={"category": "label"}, limit=20)
    assert dict(viton.taken) == {"articles": 30, "photos": 30, "pairs": 30}
    assert (parsing.taken["photos"], parsing.taken["masks"]) == (15, 15)
    assert parsing.counts["worn"].total() >= 15
    assert (feed.taken["articles"], whole.taken["articles"], home.taken["articles"]) == (40, 40, 20)
    assert {category for category, _ in articles_of(tmp_path / "feed").values()} <= set(CATEGORIES)
    assert set(feed.left_out) == {"none of the eight categories (kept with --all-categories)"}
    assert not any(one.left_out for one in (viton, parsing, whole, home))
