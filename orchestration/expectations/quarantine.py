"""Parting a batch: the rows that are accepted, and those set aside with their reasons."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from contracts.batches import (
    ARTICLES,
    PAIRS,
    PHOTOS,
    Article,
    CatalogueBatch,
    Photo,
    StreetBatch,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.images import UnreadableImage
from orchestration.expectations.picture_facts import file_in
from orchestration.expectations.verdict import Verdict, write_verdict

_Row = TypeVar("_Row")


UNNAMED = "unnamed"
"""Where the files of a delivery lie that no row names, and its links."""


def part_batch(root: Path, verdict: Verdict, kept: Path, aside: Path) -> bool:
    """Write the rows of the batch `root` that passed, with their files, into `kept`, and the others into `aside`.

    Both directories exist and are empty; `aside` also gets the verdict and, below `unnamed/`, every file that no row
    names and every link: data holds what was looked at, and nothing that was delivered disappears. Files are linked
    where the file system allows it. Returns whether anything was set aside.
    """
    part = _part_catalogue if verdict.kind == "catalogue" else _part_street
    taken = part(root, verdict, kept, failing=False) | part(root, verdict, aside, failing=True)
    write_verdict(aside, verdict)
    unnamed = [path for path in _delivered(root) if path not in taken and path not in (ARTICLES, PHOTOS, PAIRS)]
    for path in unnamed:
        _link(root / path, _place(aside / UNNAMED, path))
    return bool(unnamed) or verdict.status == "accepted_with_quarantine"


def unnamed_in(batch: CatalogueBatch | StreetBatch) -> list[str]:
    """The files of a batch, as paths in it, that none of its rows names."""
    files = _files_of_articles(batch.articles) if isinstance(batch, CatalogueBatch) else _files_of_photos(batch.photos)
    named = {PurePosixPath(path).as_posix() for path in files} | {ARTICLES, PHOTOS, PAIRS}
    return [path for path in _delivered(batch.root) if path not in named]


def _part_catalogue(root: Path, verdict: Verdict, into: Path, *, failing: bool) -> set[str]:
    articles = _chosen(read_catalogue_batch(root).articles, verdict.failed(ARTICLES), failing)
    write_catalogue_batch(into, articles)
    return _take_files(root, into, _files_of_articles(articles))


def _part_street(root: Path, verdict: Verdict, into: Path, *, failing: bool) -> set[str]:
    batch = read_street_batch(root)
    photos = _chosen(batch.photos, verdict.failed(PHOTOS), failing)
    write_street_batch(into, photos, _chosen(batch.pairs, verdict.failed(PAIRS), failing))
    return _take_files(root, into, _files_of_photos(photos))


def _delivered(root: Path) -> list[str]:
    """All files and links below `root`, relative to it; what a link leads to is not followed."""
    found = []
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name).relative_to(root).as_posix() for name in (*files, *links)]
    return sorted(found)


def _chosen(rows: Sequence[_Row], failed: set[int], failing: bool) -> list[_Row]:
    return [row for place, row in enumerate(rows) if (place in failed) == failing]


def _files_of_articles(articles: Iterable[Article]) -> set[str]:
    return {image for article in articles if article.op != "delete" for image in article.images}


def _files_of_photos(photos: Iterable[Photo]) -> set[str]:
    return {path for photo in photos if photo.op != "delete" for path in (photo.image, photo.mask) if path}


def _take_files(root: Path, into: Path, paths: Iterable[str]) -> set[str]:
    """Take the files `paths`; returns those that were there, as plain relative paths."""
    taken = set()
    for relative in sorted(paths):
        try:
            source = file_in(root, relative)
        except UnreadableImage:
            continue  # a failing row's: what cannot be found or must not be followed cannot be kept
        plain = source.relative_to(root).as_posix()
        if plain not in taken:
            _link(source, _place(into, plain))
            taken.add(plain)
    return taken


def _place(into: Path, relative: str) -> Path:
    target = into / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
