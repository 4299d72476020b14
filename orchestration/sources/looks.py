"""Articles, photos and the pairs between them, as published lists name them: planned first, then copied and written.

The sources that carry pairs (`viton`, `deepfashion`, `street2shop`, `lookbook`) only read their lists; what happens to
a picture that is missing, or to a box that does not fit its picture, is the same for all of them and stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contracts.batches import Article, Box, Pair, Photo, write_catalogue_batch, write_street_batch
from contracts.files import new_directory
from contracts.images import Size, size_of
from orchestration.progress import Reporter
from orchestration.sources.copying import Listed, copy_all, copy_images
from orchestration.sources.pictures import safe_name
from orchestration.sources.report import ImportReport


@dataclass(frozen=True)
class ListedBox:
    """A box as a list gives it, in pixels of its photo: its sides, and the list and line that give it."""

    left: int
    top: int
    right: int
    bottom: int
    file: str
    line: int | None = None


@dataclass
class PlannedArticle:
    """An article with its pictures, each once, in the order of the lists."""

    category: str
    attributes: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Listed] = field(default_factory=dict)


@dataclass
class Looks:
    """What lists say: articles and photos by id, and the pairs by (photo, article) with the photo's box, if any.

    `largest_side_px` is the longer side that the published pictures have at most: the boxes of a list belong to these
    pictures, so on a larger one they are of another resolution.
    """

    domain: Literal["street", "studio"]
    largest_side_px: int | None = None
    articles: dict[str, PlannedArticle] = field(default_factory=dict)
    photos: dict[str, Listed] = field(default_factory=dict)
    pairs: dict[tuple[str, str], ListedBox | None] = field(default_factory=dict)


def deliver_looks(
    looks: Looks, path: Path, into_catalogue: Path, into_street: Path, report: ImportReport, progress: Reporter
) -> ImportReport:
    """Copy the pictures of `looks` and write the catalogue and the street batch; `report` takes what is left out.

    An article without a usable picture is left out, and so is a photo that shows none of the articles taken. A box
    that does not fit its photo is refused and the pair taken without it. Raises ThreadlineError naming the source's
    directory `path` when no article or no pair is left.
    """
    with new_directory(into_catalogue) as catalogue, new_directory(into_street) as street:
        articles = _copy_articles(looks, catalogue, report, progress)
        pairs = [pair for pair in looks.pairs if _is_taken(pair, looks, articles, report)]
        shown = list(dict.fromkeys(photo_id for photo_id, _ in pairs))
        wanted = [(safe_name(photo_id), looks.photos[photo_id]) for photo_id in shown]
        copied = copy_all(street, wanted, "copying photos", report, progress)
        photos = {
            photo_id: Photo(photo_id, domain=looks.domain, image=one.path, sha256=one.sha256)
            for photo_id, one in zip(shown, copied, strict=True)
            if one is not None
        }
        kept = [_pair(pair, looks, street, photos, report) for pair in pairs if pair[0] in photos]
        report.require(min(len(articles), len(kept)), path)
        write_catalogue_batch(catalogue, list(articles.values()))
        write_street_batch(street, list(photos.values()), kept)
    report.taken.update(articles=len(articles), photos=len(photos), pairs=len(kept))
    if any(pair.box for pair in kept):
        report.taken["boxes"] = sum(pair.box is not None for pair in kept)
    return report


def _copy_articles(looks: Looks, batch: Path, report: ImportReport, progress: Reporter) -> dict[str, Article]:
    listed = {article_id: list(planned.pictures.values()) for article_id, planned in looks.articles.items()}
    images = copy_images(batch, listed, report, progress)
    return {
        article_id: Article(
            article_id,
            category=looks.articles[article_id].category,
            attributes=looks.articles[article_id].attributes,
            images=tuple(one.path for one in taken),
            sha256=tuple(one.sha256 for one in taken),
        )
        for article_id, taken in images.items()
    }


def _is_taken(pair: tuple[str, str], looks: Looks, articles: dict[str, Article], report: ImportReport) -> bool:
    photo_id, article_id = pair
    if article_id in articles:
        return True
    photo = looks.photos[photo_id]
    reason = "no picture of" if article_id in looks.articles else "nothing is known of"
    detail = f"{photo.given}: {article_id}"
    report.leave_out(f"{reason} the article that the photo shows", photo.file, photo.line, detail)
    return False


def _pair(pair: tuple[str, str], looks: Looks, batch: Path, photos: dict[str, Photo], report: ImportReport) -> Pair:
    photo_id, article_id = pair
    given = looks.pairs[pair]
    if given is None:
        return Pair(photo_id, article_id)
    size = size_of((batch / photos[photo_id].image).read_bytes())
    problem = _problem_of(given, size, looks.largest_side_px)
    if problem is not None:
        report.leave_out(
            "the box does not fit its photo (the pair is taken without it)",
            given.file,
            given.line,
            f"{looks.photos[photo_id].given}: {problem}",
        )
        return Pair(photo_id, article_id)
    height, width = size
    return Pair(photo_id, article_id, Box(given.top, given.left, given.bottom, given.right, height, width))


def _problem_of(box: ListedBox, size: Size, largest_side_px: int | None) -> str | None:
    """In words why `box` is not one of a photo of `size` (height, width); None where it fits."""
    height, width = size
    if largest_side_px is not None and max(size) > largest_side_px:
        return f"the photo is {width} x {height} px, its box is of one of at most {largest_side_px} px"
    if not (0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height):
        corners = f"({box.left}, {box.top}) to ({box.right}, {box.bottom})"
        return f"the box {corners} is not inside the {width} x {height} px of the photo"
    return None
