"""Parting a batch: the rows that are accepted, and those set aside with their reasons."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from contracts.batches import (
    ARTICLES,
    PAIRS,
    PHOTOS,
    Article,
    Photo,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.images import UnreadableImage
from orchestration.expectations.picture_facts import file_in
from orchestration.expectations.verdict import Verdict, write_verdict

_Row = TypeVar("_Row")


def part_batch(root: Path, verdict: Verdict, kept: Path, aside: Path | None) -> None:
    """Write the rows of the batch `root` that passed, with their files, into `kept`, and the others into `aside`.

    Both directories exist and are empty; `aside` also gets the verdict, and may be None when no row failed. Files are
    linked where the file system allows it. A file that no row names goes to neither, nor does any link: data holds
    what was looked at.
    """
    part = _part_catalogue if verdict.kind == "catalogue" else _part_street
    part(root, verdict, kept, failing=False)
    if aside is not None:
        part(root, verdict, aside, failing=True)
        write_verdict(aside, verdict)


def _part_catalogue(root: Path, verdict: Verdict, into: Path, *, failing: bool) -> None:
    articles = _chosen(read_catalogue_batch(root).articles, verdict.failed(ARTICLES), failing)
    _take_files(root, into, _files_of_articles(articles))
    write_catalogue_batch(into, articles)


def _part_street(root: Path, verdict: Verdict, into: Path, *, failing: bool) -> None:
    batch = read_street_batch(root)
    photos = _chosen(batch.photos, verdict.failed(PHOTOS), failing)
    _take_files(root, into, _files_of_photos(photos))
    write_street_batch(into, photos, _chosen(batch.pairs, verdict.failed(PAIRS), failing))


def _chosen(rows: Sequence[_Row], failed: set[int], failing: bool) -> list[_Row]:
    return [row for place, row in enumerate(rows) if (place in failed) == failing]


def _files_of_articles(articles: Iterable[Article]) -> set[str]:
    return {image for article in articles if article.op != "delete" for image in article.images}


def _files_of_photos(photos: Iterable[Photo]) -> set[str]:
    return {path for photo in photos if photo.op != "delete" for path in (photo.image, photo.mask) if path}


def _take_files(root: Path, into: Path, paths: Iterable[str]) -> None:
    for relative in sorted(paths):
        try:
            source = file_in(root, relative)
        except UnreadableImage:
            continue  # a failing row's: what cannot be found or must not be followed cannot be kept
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
