"""Anyone's own pictures, gathered to measure a package on; they lie in a temporary directory and nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from contracts.batches import ARTICLES, PHOTOS, Article, Photo, StreetBatch, read_catalogue_batch, read_street_batch
from contracts.errors import ThreadlineError
from contracts.images import UnreadableImage, read
from contracts.masks import read_mask
from orchestration.deliveries import Places, deliver
from orchestration.progress import Reporter
from orchestration.resources import Workspace
from orchestration.rows import read_rows
from orchestration.sources.report import ImportReport
from orchestration.street_backgrounds import with_room
from orchestration.training_sets import article_rows, resolve_articles, resolve_looks
from orchestration.workspace_tables import read_catalogue, read_looks, read_sides
from training.sets import ArticleImages, LookPhoto, LookSet, Segmentation

Row = TypeVar("Row")

_GLANCE = (64, 64)
"""What a picture is decoded at to see whether it decodes: a JPEG's eighth, read to its last byte."""


@dataclass(frozen=True)
class GatheredLooks:
    """Photos with their articles and the gallery, what the importers report, and what else was left out, by reason."""

    looks: LookSet
    imports: list[ImportReport]
    left_out: Counter[str]


@dataclass(frozen=True)
class GatheredMasks:
    """Photos with their true masks, what the importer reports, and what else was left out, by reason."""

    rows: list[Segmentation]
    imports: list[ImportReport]
    left_out: Counter[str]


def gather_looks(
    source: tuple[str, str], galleries: Sequence[str], place: Path, report: Reporter, limit: int | None = None
) -> GatheredLooks:
    """Bring the photos and pairs of `source` (name, path), its articles and those of `galleries`, into `place`.

    A gallery is a folder with a CSV, or `<source>:<path>`, of which the articles are taken. At most `limit` rows of
    the source are taken; galleries are taken whole. What cannot be used is left out and counted; a photo whose
    articles are not in the gallery stays, as a query without a match. Raises ThreadlineError when there is no photo
    with a pair, or no article.
    """
    left_out: Counter[str] = Counter()
    roots = [place / "source", *(place / f"gallery-{number}" for number in range(1, len(galleries) + 1))]
    imports = [deliver(*source, _places(roots[0]), report, limit)]
    for gallery, root in zip(galleries, roots[1:], strict=True):
        imports.append(deliver(*_named_gallery(gallery), _places(root), report))
    photos = _looks(_street_batch(roots[0], source[0]), left_out, report)
    if not photos:
        raise ThreadlineError(f"{source[1]} holds no photo that can be used with a pair", "say what its photos show")
    articles = _gallery(roots, left_out, report)
    if not articles:
        raise ThreadlineError("there is no article to search among", "name a folder of articles with --gallery")
    return GatheredLooks(LookSet(tuple(photos), tuple(articles)), imports, left_out)


def own_looks(workspace: Workspace, limit: int | None = None) -> GatheredLooks:
    """The test photos of the workspace's look set, at most `limit`, and its whole catalogue.

    Raises ThreadlineError when there is none.
    """
    try:
        looks = resolve_looks(read_looks(workspace, "look_set"), workspace.data, workspace.home.root)
        articles = resolve_articles(article_rows(read_catalogue(workspace), read_sides(workspace)), workspace.data)
    except FileNotFoundError as error:
        raise ThreadlineError(
            f"{workspace.root} has no look set yet", "run `threadline materialize`, or name pictures with --source"
        ) from error
    photos = tuple(photo for photo in looks.photos if photo.split == "test")[:limit]
    if not photos:
        raise ThreadlineError(f"{workspace.root} has no test photo with a pair", "name pictures with --source")
    return GatheredLooks(LookSet(photos, tuple(articles)), [], Counter())


def gather_backgrounds(named: str, workspace: Workspace, place: Path, report: Reporter) -> GatheredMasks:
    """Bring the street photos with masks of `named`, `<source>:<path>`, into `place`.

    Those that the workspace's models learnt from, or without room beside the person, are left out and counted. Raises
    ThreadlineError when none is left.
    """
    source, found, path = named.partition(":")
    if not found:
        raise ThreadlineError(f"'{named}' says not what kind of photos it holds", "write it as SOURCE:PATH")
    gathered = gather_masks((source, path), place, report, domain="street")
    mask_set = workspace.home.derived("mask_set")
    rows = read_rows(mask_set, Segmentation) if mask_set.exists() else []
    learnt = {row.sha256 for row in rows if row.split == "train"}
    return replace(gathered, rows=with_room(gathered.rows, learnt, gathered.left_out))


def gather_masks(
    source: tuple[str, str],
    place: Path,
    report: Reporter,
    limit: int | None = None,
    domain: str | None = None,
) -> GatheredMasks:
    """Bring the photos of `source` (name, path) that have a true mask into `place`.

    At most `limit` photos are taken, all or those of a `domain`. What cannot be used is left out and counted. Raises
    ThreadlineError when nothing is left.
    """
    left_out: Counter[str] = Counter()
    imported = deliver(*source, _places(place), report, limit)
    batch = _street_batch(place, source[0])
    there = _without(
        batch.photos, f"photos not of the {domain}", lambda photo: domain in (None, photo.domain), left_out
    )
    masked = _without(there, "photos without a mask", lambda photo: photo.mask is not None, left_out)

    def problem(photo: Photo) -> str | None:
        try:
            same = read(batch.root / photo.image).shape[:2] == read_mask(batch.root / (photo.mask or "")).shape
        except UnreadableImage:
            return "photos or masks that cannot be read"
        return None if same else "masks of another size than their photo"

    rows = [
        Segmentation(photo.photo_id, batch.root / photo.image, photo.sha256, batch.root / photo.mask, "", "test")
        for photo in _usable(masked, problem, "looking at masks", left_out, report)
        if photo.mask is not None
    ]
    if not rows:
        raise ThreadlineError(f"{source[1]} holds no photo with a mask that can be used", "give photos with masks")
    return GatheredMasks(rows, [imported], left_out)


def _places(root: Path) -> Places:
    return {"catalogue": root / "catalogue", "street": root / "street"}


def _named_gallery(gallery: str) -> tuple[str, str]:
    """The source and the path of a gallery; a plain path is a folder with a CSV."""
    name, found, path = gallery.partition(":")
    return (name, path) if found and not Path(gallery).exists() else ("folder", gallery)


def _street_batch(root: Path, source: str) -> StreetBatch:
    if not (root / "street" / PHOTOS).exists():
        raise ThreadlineError(f"the source '{source}' brings no photos", "choose a source of photos, or folder-photos")
    return read_street_batch(root / "street")


def _looks(batch: StreetBatch, left_out: Counter[str], report: Reporter) -> list[LookPhoto]:
    """The photos that decode and have a pair."""
    shown: dict[str, list[str]] = {}
    for pair in batch.pairs:
        shown.setdefault(pair.photo_id, []).append(pair.article_id)
    paired = _without(batch.photos, "photos without a pair", lambda photo: photo.photo_id in shown, left_out)

    def problem(photo: Photo) -> str | None:
        return None if _decodes(batch.root / photo.image) else "photos that cannot be read"

    return [
        LookPhoto(
            photo_id=photo.photo_id,
            domain=photo.domain,
            image=batch.root / photo.image,
            sha256=photo.sha256,
            mask=None,
            mask_sha256="",
            articles=tuple(sorted(set(shown[photo.photo_id]))),
            split="test",
        )
        for photo in _usable(paired, problem, "looking at photos", left_out, report)
    ]


def _gallery(roots: Sequence[Path], left_out: Counter[str], report: Reporter) -> list[ArticleImages]:
    """The articles of every batch below `roots` with the images that decode; of equal ids the first."""
    articles: dict[str, tuple[Path, Article]] = {}
    for root in roots:
        if (root / "catalogue" / ARTICLES).exists():
            for article in read_catalogue_batch(root / "catalogue").articles:
                if article.article_id in articles:
                    left_out["articles whose id an earlier gallery has"] += 1
                else:
                    articles[article.article_id] = (root / "catalogue", article)
    images = [
        (key, root / image, sha256)
        for key, (root, article) in articles.items()
        for image, sha256 in zip(article.images, article.sha256, strict=True)
    ]

    def problem(image: tuple[str, Path, str]) -> str | None:
        return None if _decodes(image[1]) else "article images that cannot be read"

    usable: dict[str, list[tuple[Path, str]]] = {}
    for key, path, sha256 in _usable(images, problem, "looking at articles", left_out, report):
        usable.setdefault(key, []).append((path, sha256))
    pictured = _without(list(articles), "articles without an image", usable.__contains__, left_out)
    return [
        ArticleImages(
            article_id=key,
            images=tuple(path for path, _ in usable[key]),
            sha256=tuple(sha256 for _, sha256 in usable[key]),
            category=articles[key][1].category,
            attributes=articles[key][1].attributes,
            split="test",
        )
        for key in pictured
    ]


def _decodes(path: Path) -> bool:
    try:
        read(path, at_least=_GLANCE)
    except UnreadableImage:
        return False
    return True


def _without(rows: Sequence[Row], reason: str, keep: Callable[[Row], bool], left_out: Counter[str]) -> list[Row]:
    """The rows to `keep`; the others are counted."""
    kept = [row for row in rows if keep(row)]
    if len(kept) < len(rows):
        left_out[reason] += len(rows) - len(kept)
    return kept


def _usable(
    rows: Sequence[Row],
    problem: Callable[[Row], str | None],
    stage: str,
    left_out: Counter[str],
    report: Reporter,
) -> list[Row]:
    """The rows without a `problem`; the others are counted by it."""
    usable = []
    with ThreadPoolExecutor(2) as pool:
        for done, (row, found) in enumerate(zip(rows, pool.map(problem, rows), strict=True), 1):
            if found is None:
                usable.append(row)
            else:
                left_out[found] += 1
            report(stage, done, len(rows))
    return usable
