"""A directory of images with a CSV: one row an image, several rows where an article has several."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.batches import Article, write_catalogue_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.vocabulary import CATEGORIES
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.categories import map_category
from orchestration.sources.copying import Listed, copy_images
from orchestration.sources.pictures import KNOWN_ENDINGS, CopiedPicture, ImagesBelow, directory
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import CsvTable, Row, read_csv

PHOTOS_TABLE = "photos.csv"
NOT_OF_THE_EIGHT = "categories left out"
NOT_TAKEN = "pictures of no article"

AS_ATTRIBUTES = "columns taken as attributes"
IDS = "ids"
SHORT = "rows with fewer fields than the header, the rest taken as empty"
OTHERWISE = "values that differ from those of the article's first row, which count"

_RESERVED = ("image", "article_id", "name", "category", "price", "url", "in_stock", "assortments", "op")
_IDENTITY = ("name", "category")
"""What the rows of one article agree in: they may be of several sizes."""
_OF_THE_FIRST = ("price", "url", "in_stock", "assortments")
_TWO_READINGS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
"""A price such as 1,299 or 1.299: over a thousand in some countries, hardly more than one in others."""

_TRUE, _FALSE = ("true", "1", "yes", "y"), ("false", "0", "no", "n")


@dataclass
class _Gathered:
    """The rows of one article, with the images that were found for it."""

    first: Row
    images: list[Listed] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether there is an image, or none is needed: an update keeps those that the catalogue has."""
        return bool(self.images) or (_is_update(self.first) and not self.first.values["image"])


def deliver_folder(
    path: Path,
    into: Path,
    progress: Reporter = silent,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    all_categories: bool = True,
    limit: int | None = None,
    source: str = "folder",
) -> ImportReport:
    """Turn the directory `path` into a catalogue batch at `into`.

    The CSV is `table`, or the only one in `path`. Its column `image` is a path below `path` (also found below
    `images/` and without its ending); `article_id` (by default the image's stem, which no other image may then have),
    `name`, `category`, `price`, `url`, `in_stock` and `assortments` (separated by |) are taken as they are called, and
    every other column is an attribute. `columns` maps these names to those of the CSV. Of several rows of one article
    the first gives the fields. A row whose `op` is "delete" takes its article out of the catalogue, and needs no image;
    one whose `op` is "upsert" may leave its image empty, and the article keeps the images that it has.
    Without `all_categories` a row of none of the eight categories is left out. At most `limit` articles are taken.

    Raises ThreadlineError when the directory or the CSV cannot be used at all; a bad row is left out and reported.
    """
    directory(path, "the images and their CSV")
    images = ImagesBelow(path)
    rows = read_csv(
        table or _only_table(path), ["image"], columns, _RESERVED, is_row=lambda values: images.has(values["image"])
    )
    report = ImportReport(source)
    sound, deleted = _sound(rows, report)
    usable = sound if all_categories else list(_of_the_eight(rows.path.name, sound, report))
    gathered = _gather(images, rows.path.name, usable, report, limit)
    _tell_columns(rows, report)
    if all_categories and limit is None:
        _count_not_taken(path, gathered, report)
    with new_directory(into) as batch:
        articles = _take(batch, gathered, rows.path.name, report, progress)
        report.require(len(articles) + len(deleted), path)
        write_catalogue_batch(batch, [*articles, *deleted])
    report.taken.update(articles=len(articles), images=sum(len(article.images) for article in articles))
    if deleted:
        report.taken["articles taken out"] = len(deleted)
    return report


def _only_table(path: Path) -> Path:
    tables = sorted(one for one in path.glob("*.csv") if one.name != PHOTOS_TABLE)
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise ThreadlineError(f"{path} holds no CSV", "add one with a column 'image', or name one with --csv")
    names = ", ".join(one.name for one in tables)
    raise ThreadlineError(f"{path} holds several CSV files: {names}", "name the one that is meant with --csv")


def _of_the_eight(file: str, rows: Iterable[Row], report: ImportReport) -> Iterator[Row]:
    """The rows of one of the eight categories; the others by their own name in the report."""
    others = report.counts.setdefault(NOT_OF_THE_EIGHT, Counter())
    for row in rows:
        given = row.values.get("category", "")
        if map_category(given, Counter()) in CATEGORIES:
            yield row
        else:
            others[given or "no category"] += 1
            report.leave_out("none of the eight categories (kept with --all-categories)", file, row.line, given)


def _sound(table: CsvTable, report: ImportReport) -> tuple[list[Row], list[Article]]:
    """The rows that can be read and are of an article to take, and the articles that are to be taken out."""
    sound: list[Row] = []
    deleted: dict[str, Article] = {}
    for row in table.rows:
        op, article_id = row.values.get("op", "").lower(), row.values.get("article_id", "")
        if row.problem:
            report.leave_out(row.problem, table.path.name, row.line)
        elif op == "delete" and article_id:
            deleted[article_id] = Article(article_id, op="delete")
        elif op in ("", "upsert"):
            sound.append(row)
        else:
            report.leave_out("'op' is not upsert, or delete with an article_id", table.path.name, row.line, op)
    kept: list[Row] = []
    for row in sound:
        named = row.values.get("article_id", "")
        if named in deleted:
            report.leave_out("another row takes its article out", table.path.name, row.line, named)
        else:
            kept.append(row)
    return kept, list(deleted.values())


def _tell_columns(table: CsvTable, report: ImportReport) -> None:
    """Say what became of the columns, which nobody would see otherwise."""
    others = [name for name in table.columns if name not in _RESERVED]
    if others:
        report.counts[AS_ATTRIBUTES] = Counter({name: sum(bool(r.values[name]) for r in table.rows) for name in others})
    if "article_id" not in table.columns:
        report.counts[IDS] = Counter({"taken from the images' names": len(table.rows)})
    if short := [row.line for row in table.rows if row.short]:
        report.counts[SHORT] = Counter({f"from line {short[0]} on": len(short)})


def _gather(
    images: ImagesBelow, file: str, rows: Iterable[Row], report: ImportReport, limit: int | None
) -> dict[str, _Gathered]:
    """The usable rows by article, in the order of the table."""
    otherwise: Counter[str] = Counter()
    gathered: dict[str, _Gathered] = {}
    for row in rows:
        named = row.values.get("article_id")
        known = gathered.get(named or "")
        if known is not None and (other := _disagrees(known.first, row)):
            report.leave_out("an earlier row of this article says something else", file, row.line, other)
            continue
        image = _image_of(images, file, row, report)
        article_id = named or (image.stem if image else "")
        if not article_id:
            continue
        if article_id not in gathered:
            if limit is not None and sum(one.usable for one in gathered.values()) == limit:
                break
            gathered[article_id] = _Gathered(row)
        elif not named:
            given = row.values["image"]
            report.leave_out("another row has this image, or its name, which is its id", file, row.line, given)
            continue
        otherwise.update(name for name in _OF_THE_FIRST if _differs(gathered[article_id].first, row, name))
        if image is not None and all(one.source != image for one in gathered[article_id].images):
            gathered[article_id].images.append(Listed(image, row.values["image"], file, row.line))
    if otherwise:
        report.counts[OTHERWISE] = otherwise
    return {article_id: found for article_id, found in gathered.items() if found.usable}


def _disagrees(first: Row, row: Row) -> str:
    """What two rows of one article do not agree in; empty where they do."""
    names = [name for name in _IDENTITY if _differs(first, row, name)]
    return "; ".join(f"{first.values[name]} / {row.values[name]}" for name in names)


def _differs(first: Row, row: Row, name: str) -> bool:
    """Whether the rows give other values; an empty one gives none."""
    one, other = first.values.get(name), row.values.get(name)
    return bool(one and other and one != other)


def _is_update(row: Row) -> bool:
    return row.values.get("op", "").lower() == "upsert" and bool(row.values.get("article_id"))


def _count_not_taken(path: Path, gathered: Mapping[str, _Gathered], report: ImportReport) -> None:
    """Count the pictures of the directory that no usable row names, by their endings."""
    taken = {one.source for found in gathered.values() for one in found.images}
    pictures = (one for one in path.rglob("*") if one.suffix.lower() in KNOWN_ENDINGS)
    others = Counter(one.suffix.lower() for one in pictures if one not in taken)
    if others:
        report.counts[NOT_TAKEN] = others


def _image_of(images: ImagesBelow, file: str, row: Row, report: ImportReport) -> Path | None:
    given = row.values["image"]
    if not given:
        if not _is_update(row):
            report.leave_out("the row names no image", file, row.line)
        return None
    try:
        return images.find(given)
    except FileNotFoundError as error:
        report.leave_out("the image is missing", file, row.line, str(error))
    except (ThreadlineError, OSError, ValueError):
        report.leave_out("the path leaves the directory or cannot be one", file, row.line, given)
    return None


def _take(
    batch: Path, gathered: Mapping[str, _Gathered], file: str, report: ImportReport, progress: Reporter
) -> list[Article]:
    """The articles of which an image could be copied, and those that need none."""
    images = copy_images(batch, {key: found.images for key, found in gathered.items()}, report, progress)
    return [
        _article(key, found.first, images.get(key, []), file, report)
        for key, found in gathered.items()
        if key in images or not found.images
    ]


def _article(article_id: str, row: Row, images: list[CopiedPicture], file: str, report: ImportReport) -> Article:
    values = row.values
    return Article(
        article_id=article_id,
        name=values.get("name", ""),
        category=map_category(values.get("category", ""), report.mapped),
        attributes={name: value for name, value in values.items() if name not in _RESERVED and value},
        assortments=tuple(part.strip() for part in values.get("assortments", "").split("|") if part.strip()),
        images=tuple(one.path for one in images),
        sha256=tuple(one.sha256 for one in images),
        url=values.get("url") or None,
        price=_price(file, row, report),
        in_stock=_in_stock(file, row, report),
    )


def _price(file: str, row: Row, report: ImportReport) -> float | None:
    given = row.values.get("price", "")
    if not given:
        return None
    price = _number(given)
    if math.isfinite(price) and price >= 0:
        return price
    report.leave_out("the price is not a number (the article is taken without it)", file, row.line, given)
    return None


def _number(given: str) -> float:
    """The number with a point or a comma; NaN where it is none, or may be either of two."""
    if _TWO_READINGS.fullmatch(given):
        return math.nan
    try:
        return float(given if "." in given else given.replace(",", "."))
    except ValueError:
        return math.nan


def _in_stock(file: str, row: Row, report: ImportReport) -> bool | None:
    given = row.values.get("in_stock", "").lower()
    if given in _TRUE or given in _FALSE:
        return given in _TRUE
    if given:
        report.leave_out("'in_stock' is not yes or no (the article is taken without it)", file, row.line, given)
    return None
