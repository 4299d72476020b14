"""VITON (Han et al. 2018): `person/NNNNNN_0.jpg`, `cloth/NNNNNN_1.jpg`, and `pairs.csv` (columns person, cloth)."""

from __future__ import annotations

from pathlib import Path

from contracts.batches import Article, Pair, Photo, inside, write_catalogue_batch, write_street_batch
from contracts.errors import ThreadlineError
from contracts.files import new_directory
from contracts.images import UnreadableImage
from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.pictures import CopiedPicture, copy_picture, directory, safe_name
from orchestration.sources.report import ImportReport
from orchestration.sources.tables import Row, read_csv

TABLE = "pairs.csv"
CATEGORY = "top"


def deliver_viton(
    path: Path, into_catalogue: Path, into_street: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn VITON into a catalogue batch, one article a cloth, and a street batch of its studio photos with their pairs.

    At most `limit` pairs are taken. Raises ThreadlineError when `pairs.csv` cannot be used; a bad row is left out and
    reported.
    """
    directory(path, "person/, cloth/ and pairs.csv")
    rows = read_csv(path / TABLE, ["person", "cloth"]).rows[:limit]
    report = ImportReport("viton")
    articles: dict[str, Article] = {}
    photos: dict[str, Photo] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    with new_directory(into_catalogue) as catalogue, new_directory(into_street) as street:
        for done, row in enumerate(rows, 1):
            cloth = _copy(path, catalogue, "cloth", row, report)
            person = _copy(path, street, "person", row, report) if cloth else None
            if cloth and person:
                article_id, photo_id = Path(row.values["cloth"]).stem, Path(row.values["person"]).stem
                articles[article_id] = Article(
                    article_id, category=CATEGORY, images=(cloth.path,), sha256=(cloth.sha256,)
                )
                photos[photo_id] = Photo(photo_id, domain="studio", image=person.path, sha256=person.sha256)
                pairs[(photo_id, article_id)] = Pair(photo_id, article_id)
            progress("copying pairs", done, len(rows))
        report.require(len(pairs), path)
        write_catalogue_batch(catalogue, list(articles.values()))
        write_street_batch(street, list(photos.values()), list(pairs.values()))
    report.taken.update(articles=len(articles), photos=len(photos), pairs=len(pairs))
    return report


def _copy(path: Path, batch: Path, column: str, row: Row, report: ImportReport) -> CopiedPicture | None:
    name = row.values[column]
    try:
        return copy_picture(inside(path / column, name), batch, safe_name(Path(name).stem))
    except UnreadableImage as error:
        report.leave_out(f"the {column} picture cannot be read", TABLE, row.line, f"{column}/{name}: {error}")
    except ThreadlineError:
        report.leave_out(f"the {column} picture is not named, or leaves the directory", TABLE, row.line, name)
    return None
