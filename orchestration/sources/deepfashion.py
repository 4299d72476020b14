"""DeepFashion (Liu et al. 2016): the benchmarks Consumer-to-Shop and In-Shop, each in a directory of its own.

    Eval/list_eval_partition.txt        Consumer-to-Shop: image_pair_name_1 (the consumer's photo) image_pair_name_2
                                        (the shop's picture) item_id evaluation_status
                                        In-Shop: image_name item_id evaluation_status
    Anno/list_bbox_consumer2shop.txt    image_name clothes_type source_type x_1 y_1 x_2 y_2
    Anno/list_bbox_inshop.txt           image_name clothes_type pose_type x_1 y_1 x_2 y_2
    Anno/list_item_consumer2shop.txt    the items (may be absent)
    Anno/list_item_inshop.txt           the items (may be absent)
    Img/img/…/<category>/<item>/*.jpg   the pictures; the lists call them img/…

`Anno/`, `Eval/` and `Img/` may be left out of the paths. Boxes are in pixels of these pictures, whose longer side is
300 (Consumer-to-Shop) or 256 (In-Shop); on larger ones, such as `img_highres`, they would be wrong, and are refused.

Both number their items alike, so ids begin with the benchmark's name. The published partition (`evaluation_status`) is
not used: sides are assigned by hash, as for every source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contracts.batches import inside
from contracts.errors import ThreadlineError
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.categories import map_category
from orchestration.sources.copying import Listed
from orchestration.sources.listing import read_items, read_list
from orchestration.sources.looks import ListedBox, Looks, PlannedArticle, deliver_looks
from orchestration.sources.pictures import directory
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row

PARTITION = "list_eval_partition.txt"
LAYOUT = "Anno/, Eval/ and Img/ of one benchmark of DeepFashion"

FRONTAL, STAND_ALONE = "1", "6"
"""In-Shop's `pose_type` of a photo from the front, and of the garment alone."""

_SIDES = ("x_1", "y_1", "x_2", "y_2")


@dataclass(frozen=True)
class _Boxes:
    """The rows of a list of boxes by the name of their picture."""

    file: str
    rows: dict[str, Row]

    def of(self, image: str, report: ImportReport) -> ListedBox | None:
        row = self.rows.get(image)
        if row is None:
            return None
        try:
            left, top, right, bottom = (int(row.values[side]) for side in _SIDES)
        except ValueError:
            given = " ".join(row.values[side] for side in _SIDES)
            report.leave_out("the box is not four whole numbers", self.file, row.line, given)
            return None
        return ListedBox(left, top, right, bottom, self.file, row.line)


def deliver_deepfashion(
    path: Path, into_catalogue: Path, into_street: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn one benchmark of DeepFashion into a catalogue batch of its items and a street batch of its photos.

    Consumer-to-Shop: the shop's pictures of an item make the article, the consumers' photos are paired with it.
    In-Shop: an item's pictures of the garment alone make the article, or else its first from the front; all its others
    are studio photos paired with it. At most `limit` rows of the partition are taken.

    Raises ThreadlineError when a list is missing or cannot be used; a bad row is left out and reported.
    """
    directory(path, LAYOUT)
    report = ImportReport("deepfashion")
    consumer, shop = (_published(path, f"list_bbox_{one}.txt") for one in ("consumer2shop", "inshop"))
    if consumer and shop:
        raise ThreadlineError(f"{path} holds the lists of both benchmarks", "give each a directory of its own")
    if consumer:
        looks = _consumer_to_shop(path, _read_boxes(consumer, "source_type", report), report, limit)
    elif shop:
        looks = _in_shop(path, _read_boxes(shop, "pose_type", report), report, limit)
    else:
        raise ThreadlineError(
            f"{path} holds neither list_bbox_consumer2shop.txt nor list_bbox_inshop.txt, alone or in Anno/",
            f"give the directory with {LAYOUT}",
        )
    return deliver_looks(looks, path, into_catalogue, into_street, report, progress)


def _consumer_to_shop(path: Path, boxes: _Boxes, report: ImportReport, limit: int | None) -> Looks:
    looks = Looks("street", largest_side_px=300)
    fields = ("image_pair_name_1", "image_pair_name_2", "item_id")
    for row, item in _rows(path, fields, "consumer2shop", report, limit):
        photo, picture = (_listed(path, row, name, report) for name in fields[:2])
        if photo is None or picture is None:
            continue
        article_id, photo_id = f"consumer2shop-{item}", _photo_id("consumer2shop", photo)
        article = looks.articles.get(article_id)
        if article is None:
            article = looks.articles[article_id] = PlannedArticle(_category(picture, report))
        article.pictures.setdefault(picture.given, picture)
        looks.photos.setdefault(photo_id, photo)
        if (photo_id, article_id) not in looks.pairs:
            looks.pairs[photo_id, article_id] = boxes.of(photo.given, report)
    return looks


def _in_shop(path: Path, boxes: _Boxes, report: ImportReport, limit: int | None) -> Looks:
    looks = Looks("studio", largest_side_px=256)
    pictures: dict[str, dict[str, Listed]] = {}
    for row, item in _rows(path, ("image_name", "item_id"), "inshop", report, limit):
        picture = _listed(path, row, "image_name", report)
        if picture is not None:
            pictures.setdefault(item, {}).setdefault(picture.given, picture)
    for item, listed in pictures.items():
        article_id = f"inshop-{item}"
        first = next(iter(listed.values()))
        of_article = _pictures_of_article(listed, boxes)
        department = PurePosixPath(first.given).parts[1].lower()
        looks.articles[article_id] = PlannedArticle(
            _category(first, report), {"department": department}, {name: listed[name] for name in of_article}
        )
        for name, picture in listed.items():
            if name not in of_article:
                photo_id = _photo_id("inshop", picture)
                looks.photos[photo_id] = picture
                looks.pairs[photo_id, article_id] = boxes.of(name, report)
    return looks


def _pictures_of_article(listed: dict[str, Listed], boxes: _Boxes) -> list[str]:
    poses = {name: boxes.rows[name].values["pose_type"] if name in boxes.rows else "" for name in listed}
    alone = [name for name, pose in poses.items() if pose == STAND_ALONE]
    frontal = [name for name, pose in poses.items() if pose == FRONTAL]
    return alone or frontal[:1] or list(listed)[:1]


def _rows(
    path: Path, fields: tuple[str, ...], benchmark: str, report: ImportReport, limit: int | None
) -> Iterator[tuple[Row, str]]:
    """The rows of the partition with their item, as far as the list of items, where there is one, knows it."""
    partition = _published(path, PARTITION)
    if partition is None:
        raise ThreadlineError(f"{path} holds no {PARTITION}, alone or in Eval/", f"give the directory with {LAYOUT}")
    listed = _published(path, f"list_item_{benchmark}.txt")
    known = read_items(listed, report) if listed else None
    for row in read_list(partition, fields, report)[:limit]:
        item = row.values["item_id"]
        if known is None or item in known:
            yield row, item
        else:
            report.leave_out("the item is not in the list of items", PARTITION, row.line, item)


def _read_boxes(path: Path, third: str, report: ImportReport) -> _Boxes:
    rows = read_list(path, ["image_name", third, *_SIDES], report)
    return _Boxes(path.name, {row.values["image_name"]: row for row in rows})


def _published(path: Path, name: str) -> Path | None:
    places = (path / name, path / "Anno" / name, path / "Eval" / name)
    return next((place for place in places if place.is_file()), None)


def _listed(path: Path, row: Row, field: str, report: ImportReport) -> Listed | None:
    name = row.values[field]
    root = path / "Img" if (path / "Img").is_dir() else path
    try:
        source = inside(root, name)
    except ThreadlineError:
        report.leave_out("the path leaves the directory", PARTITION, row.line, name)
        return None
    parts = PurePosixPath(name).parts
    if len(parts) < 4 or parts[0] != "img":
        report.leave_out("the path is not img/…/<category>/<item>/<picture>", PARTITION, row.line, name)
        return None
    return Listed(source, name, PARTITION, row.line)


def _category(picture: Listed, report: ImportReport) -> str:
    return map_category(PurePosixPath(picture.given).parts[-3].replace("_", " "), report.mapped)


def _photo_id(benchmark: str, photo: Listed) -> str:
    return f"{benchmark}/{PurePosixPath(photo.given).with_suffix('').relative_to('img')}"
