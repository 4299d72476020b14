"""LookBook (Yoo et al. 2016): product pictures of tops, and photos of people who wear them.

    data/PID######_CLEAN#_IID######.jpg     PID the product, CLEAN1 its own picture, CLEAN0 a person who wears it

The pictures may also lie in the directory itself. Their names are all there is: no lists, no partition.
"""

from __future__ import annotations

import re
from pathlib import Path

from contracts.errors import ThreadlineError
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.copying import Listed
from orchestration.sources.looks import Looks, PlannedArticle, deliver_looks
from orchestration.sources.pictures import KNOWN_ENDINGS, directory
from orchestration.sources.report import ImportReport

CATEGORY = "top"

_NAME = re.compile(r"(?P<product>PID\d{6})_CLEAN(?P<clean>[01])_IID\d{6}")


def deliver_lookbook(
    path: Path, into_catalogue: Path, into_street: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn LookBook into a catalogue batch, one article a product, and a street batch of the photos of it worn.

    At most `limit` products are taken, in the order of their names. Raises ThreadlineError when there are no pictures;
    one with another name, or of a product that has none of its own, is left out and reported.
    """
    folder = _folder_of_pictures(directory(path, "data/ and its pictures PID…_CLEAN…_IID….jpg"))
    report = ImportReport("lookbook")
    looks = Looks("street")
    products: set[str] = set()
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in KNOWN_ENDINGS:
            continue
        named = _NAME.fullmatch(file.stem)
        if named is None:
            report.leave_out("the name is not PID######_CLEAN#_IID######", file.name)
            continue
        product = named["product"]
        if product not in products and len(products) == limit:
            break
        products.add(product)
        picture = Listed(file, file.name, folder.name)
        if named["clean"] == "1":
            looks.articles.setdefault(product, PlannedArticle(CATEGORY)).pictures[file.name] = picture
        else:
            looks.photos[file.stem] = picture
            looks.pairs[file.stem, product] = None
    return deliver_looks(looks, path, into_catalogue, into_street, report, progress)


def _folder_of_pictures(path: Path) -> Path:
    for folder in (path / "data", path):
        if any(folder.glob("PID*")):
            return folder
    raise ThreadlineError(
        f"{path} holds no pictures PID######_CLEAN#_IID######.jpg, alone or in data/", "give the directory with data/"
    )
