"""VITON (Han et al. 2018): on-model studio photos and packshots of the same garments, women's tops.

pairs.csv              columns person, cloth
person/NNNNNN_0.jpg    the studio photos
cloth/NNNNNN_1.jpg     the packshots
"""

from __future__ import annotations

from pathlib import Path

from contracts.batches import inside
from contracts.errors import ThreadlineError
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.copying import Listed
from orchestration.sources.looks import Looks, PlannedArticle, deliver_looks
from orchestration.sources.pictures import directory
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row, read_csv

TABLE = "pairs.csv"
CATEGORY = "top"


def deliver_viton(
    path: Path, into_catalogue: Path, into_street: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn VITON into a catalogue batch, one article a cloth, and a street batch of its studio photos with their pairs.

    At most `limit` rows of `pairs.csv` are taken. Raises ThreadlineError when it cannot be used; a bad row is left out
    and reported.
    """
    directory(path, "person/, cloth/ and pairs.csv")
    report = ImportReport("viton")
    looks = Looks("studio")
    for row in read_csv(path / TABLE, ["person", "cloth"]).rows[:limit]:
        person, cloth = _listed(path, "person", row, report), _listed(path, "cloth", row, report)
        if person and cloth:
            photo_id, article_id = Path(person.given).stem, Path(cloth.given).stem
            looks.photos.setdefault(photo_id, person)
            looks.articles.setdefault(article_id, PlannedArticle(CATEGORY, pictures={cloth.given: cloth}))
            looks.pairs[photo_id, article_id] = None
    return deliver_looks(looks, path, into_catalogue, into_street, report, progress)


def _listed(path: Path, column: str, row: Row, report: ImportReport) -> Listed | None:
    name = row.values[column]
    try:
        return Listed(inside(path / column, name), f"{column}/{name}", TABLE, row.line)
    except ThreadlineError:
        report.leave_out(f"the {column} picture is not named, or leaves the directory", TABLE, row.line, name)
    return None
