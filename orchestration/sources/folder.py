"""A directory of images with a CSV: one row an image, several rows where an article has several."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from contracts.batches import Article, inside, write_catalogue_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.vocabulary import CATEGORIES
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.categories import map_category
from orchestration.sources.copying import Listed, copy_images
from orchestration.sources.pictures import KNOWN_ENDINGS, CopiedPicture, directory
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row, read_csv

PHOTOS_TABLE = "photos.csv"
NOT_OF_THE_EIGHT = "categories left out"
NOT_TAKEN = "pictures of no article"

_RESERVED = ("image", "article_id", "name", "category", "price", "url", "in_stock", "assortments")
_TWO_READINGS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
"""A price such as 1,299 or 1.299: over a thousand in some countries, hardly more than one in others."""

_TRUE, _FALSE = ("true", "1", "yes", "y"), ("false", "0", "no", "n")


@dataclass
class _Gathered:
    """The rows of one article, with the images that were found for it."""

    first: Row
    images: list[Listed] = field(default_factory=list)


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
    the first gives the fields. Without `all_categories` a row of none of the eight categories is left out. At most
    `limit` articles are taken.

    Raises ThreadlineError when the directory or the CSV cannot be used at all; a bad row is left out and reported.
    """
    directory(path, "the images and their CSV")
    rows = read_csv(table or _only_table(path), ["image"], columns)
    report = ImportReport(source)
    usable = rows.rows if all_categories else _of_the_eight(rows.path.name, rows.rows, report)
    gathered = _gather(path, rows.path.name, usable, report, limit)
    if all_categories and limit is None:
        _count_not_taken(path, gathered, report)
    with new_directory(into) as batch:
        articles = _take(batch, gathered, rows.path.name, report, progress)
        report.require(len(articles), path)
        write_catalogue_batch(batch, articles)
    report.taken.update(articles=len(articles), images=sum(len(article.images) for article in articles))
    return report


def find_image(root: Path, given: str) -> Path:
    """The image that a table calls `given`: as it stands, below `images/`, or without its ending.

    Raises ThreadlineError when the path leaves `root`, FileNotFoundError when there is no such file.
    """
    relative = str(PurePosixPath(given.replace("\\", "/")))
    for below in (relative, f"images/{relative}"):
        for ending in ("", *KNOWN_ENDINGS):
            path = inside(root, below + ending)
            if path.is_file():
                return path
    raise FileNotFoundError(given)


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


def _gather(
    path: Path, file: str, rows: Iterable[Row], report: ImportReport, limit: int | None
) -> dict[str, _Gathered]:
    """The usable rows by article, in the order of the table."""
    gathered: dict[str, _Gathered] = {}
    for row in rows:
        image = _image_of(path, file, row, report)
        if image is None:
            continue
        named = row.values.get("article_id")
        article_id = named or image.stem
        if article_id not in gathered:
            if limit is not None and len(gathered) == limit:
                break
            gathered[article_id] = _Gathered(row)
        elif not named and all(one.source != image for one in gathered[article_id].images):
            given = row.values["image"]
            report.leave_out("another article has this image's name, which is its id", file, row.line, given)
            continue
        gathered[article_id].images.append(Listed(image, row.values["image"], file, row.line))
    return gathered


def _count_not_taken(path: Path, gathered: Mapping[str, _Gathered], report: ImportReport) -> None:
    """Count the pictures of the directory that no usable row names, by their endings."""
    taken = {one.source for found in gathered.values() for one in found.images}
    pictures = (one for one in path.rglob("*") if one.suffix.lower() in KNOWN_ENDINGS)
    others = Counter(one.suffix.lower() for one in pictures if one not in taken)
    if others:
        report.counts[NOT_TAKEN] = others


def _image_of(path: Path, file: str, row: Row, report: ImportReport) -> Path | None:
    given = row.values["image"]
    if row.ragged:
        report.leave_out("the row has more fields than the header", file, row.line)
    elif not given:
        report.leave_out("the row names no image", file, row.line)
    else:
        try:
            return find_image(path, given)
        except FileNotFoundError:
            report.leave_out("the image is missing", file, row.line, given)
        except (ThreadlineError, OSError, ValueError):
            report.leave_out("the path leaves the directory or cannot be one", file, row.line, given)
    return None


def _take(
    batch: Path, gathered: Mapping[str, _Gathered], file: str, report: ImportReport, progress: Reporter
) -> list[Article]:
    """The articles of which an image could be copied."""
    images = copy_images(batch, {key: found.images for key, found in gathered.items()}, report, progress)
    return [_article(key, gathered[key].first, taken, file, report) for key, taken in images.items()]


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
