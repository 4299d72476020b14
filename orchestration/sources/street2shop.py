"""Street2Shop ("Where to Buy It", Kiapour et al. 2015): street photos, shop pictures, and which show the same product.

    photos/photos.txt                   lines <photo>,<url>, the photo with nine digits
    meta/json/retrieval_<category>.json [{"photo": 1, "product": 2}, …]: the shop's pictures of each product
    meta/json/train_pairs_<category>.json, meta/json/test_pairs_<category>.json
                                        [{"photo": 3, "product": 2, "bbox": {"left", "top", "width", "height"}}, …]
    images/…                            the downloads, in any folders, named by photo: 000000003.jpg, .jpeg, .png, …

The lists may also lie in `meta/meta/json/`, `json/` or the directory itself. The photos were published as addresses, of
which many no longer answer: what was not downloaded is left out and counted. Ids begin with `street2shop-`, since the
published ones are bare numbers. The published partition (train, test) is not used: sides are assigned by hash, as for
every source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import ThreadlineError
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.categories import map_category
from orchestration.sources.copying import Listed
from orchestration.sources.looks import ListedBox, Looks, PlannedArticle, deliver_looks
from orchestration.sources.pictures import KNOWN_ENDINGS, directory
from orchestration.sources.report import ImportReport

_ADDRESS = re.compile(r"\s*(?P<photo>\d{1,18})\s*,(?P<address>.*)")

LAYOUT = "photos/, meta/json/ and the downloaded pictures"


@dataclass(frozen=True)
class _Entry:
    """An entry of a JSON list: its place there (the first is 1), the photo, the product, and the box as given."""

    file: str
    place: int
    photo: int
    product: int
    box: Any


@dataclass(frozen=True)
class _Downloads:
    """The downloaded pictures and the addresses they were published at, by photo."""

    pictures: dict[int, Path]
    addresses: dict[int, str]

    def listed(self, entry: _Entry) -> Listed:
        address = self.addresses.get(entry.photo, "no address")
        given = f"entry {entry.place:,}: photo {entry.photo} ({address})"
        return Listed(self.pictures.get(entry.photo), given, entry.file)


def deliver_street2shop(
    path: Path, into_catalogue: Path, into_street: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn Street2Shop into a catalogue batch, one article a product, and a street batch with pairs and their boxes.

    All eleven categories are taken: dresses, pants, skirts and tops as those of the eight, the others by their names.
    At most `limit` pairs whose photo was downloaded are taken, and then only the products that they show. Raises
    ThreadlineError when a list cannot be used; a bad entry is left out and reported.
    """
    directory(path, LAYOUT)
    report = ImportReport("street2shop")
    downloads = _Downloads(_find_pictures(path), _read_addresses(path))
    folder = _folder_of_lists(path)
    looks = Looks("street")
    _plan_pairs(folder, downloads, looks, report, limit)
    wanted = None if limit is None else {article_id for _, article_id in looks.pairs}
    _plan_products(folder, downloads, looks, report, wanted)
    return deliver_looks(looks, path, into_catalogue, into_street, report, progress)


def _plan_pairs(folder: Path, downloads: _Downloads, looks: Looks, report: ImportReport, limit: int | None) -> None:
    there = 0
    for file in sorted(folder.glob("*_pairs_*.json")):
        for entry in _entries(file, report):
            photo_id, article_id = _id(entry.photo), _id(entry.product)
            if (photo_id, article_id) in looks.pairs:
                report.leave_out("a further box of the same photo and product", entry.file, detail=_named(entry))
                continue
            there += entry.photo in downloads.pictures
            if limit is not None and there > limit:
                return
            looks.photos.setdefault(photo_id, downloads.listed(entry))
            looks.pairs[photo_id, article_id] = _box(entry, report)


def _plan_products(
    folder: Path, downloads: _Downloads, looks: Looks, report: ImportReport, wanted: set[str] | None
) -> None:
    for file in sorted(folder.glob("retrieval_*.json")):
        given = file.stem.removeprefix("retrieval_").replace("_", " ")
        for entry in _entries(file, report):
            article_id = _id(entry.product)
            if wanted is not None and article_id not in wanted:
                continue
            article = looks.articles.get(article_id)
            if article is None:
                article = looks.articles[article_id] = PlannedArticle(map_category(given, report.mapped))
            picture = downloads.listed(entry)
            article.pictures.setdefault(str(entry.photo), picture)


def _entries(file: Path, report: ImportReport) -> Iterator[_Entry]:
    for place, given in enumerate(_read_json(file), 1):
        try:
            yield _Entry(file.name, place, int(given["photo"]), int(given["product"]), given.get("bbox"))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            detail = f"entry {place:,}: {given}"[:100]
            report.leave_out("the entry names no photo and product", file.name, detail=detail)


def _read_json(file: Path) -> list[Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ThreadlineError(f"{file} cannot be read: {error}", "take the list as published") from error
    if not isinstance(found, list):
        raise ThreadlineError(f"{file} is not a list of entries", "take the list as published")
    return found


def _box(entry: _Entry, report: ImportReport) -> ListedBox | None:
    try:
        left, top, width, height = (int(entry.box[side]) for side in ("left", "top", "width", "height"))
    except (KeyError, OverflowError, TypeError, ValueError):
        report.leave_out("the box is not four numbers (the pair is taken without it)", entry.file, detail=_named(entry))
        return None
    return ListedBox(left, top, left + width, top + height, entry.file)


def _find_pictures(path: Path) -> dict[int, Path]:
    pictures = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in KNOWN_ENDINGS)
    return {int(file.stem): file for file in pictures if file.stem.isdecimal()}


def _read_addresses(path: Path) -> dict[int, str]:
    """The addresses of `photos.txt`, only there to say what is missing: a line that is none is passed over."""
    places = (path / "photos" / "photos.txt", path / "photos.txt")
    file = next((place for place in places if place.is_file()), None)
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file else []
    found = (_ADDRESS.match(line) for line in lines)
    return {int(one["photo"]): one["address"].strip() for one in found if one}


def _folder_of_lists(path: Path) -> Path:
    for folder in (path / "meta" / "json", path / "meta" / "meta" / "json", path / "json", path):
        if any(folder.glob("retrieval_*.json")) and any(folder.glob("*_pairs_*.json")):
            return folder
    raise ThreadlineError(
        f"{path} holds no retrieval_<category>.json and train_pairs_<category>.json, alone or in meta/json/",
        f"give the directory with {LAYOUT}",
    )


def _id(number: int) -> str:
    return f"street2shop-{number}"


def _named(entry: _Entry) -> str:
    return f"entry {entry.place:,}: photo {entry.photo}, product {entry.product}"
