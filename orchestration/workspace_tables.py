"""Reading back what the table and set assets have written."""

from __future__ import annotations

from contracts.batches import Article, Pair, Photo, read_articles, read_photos_and_pairs
from contracts.splits import Member, read_splits
from orchestration.resources import Workspace
from orchestration.rows import read_rows
from training.sets import LookSet


def read_catalogue(workspace: Workspace) -> list[Article]:
    """The articles as they are now; paths are relative to `data/`."""
    return list(read_articles(workspace.home.catalogue))


def read_photos(workspace: Workspace) -> tuple[list[Photo], list[Pair]]:
    """The photos and pairs as they are now; paths are relative to `data/`."""
    photos, pairs = read_photos_and_pairs(workspace.home.photos)
    return list(photos), list(pairs)


def read_sides(workspace: Workspace) -> dict[Member, str]:
    """The side of every photo and article."""
    return read_splits(workspace.home.splits)


def read_looks(workspace: Workspace, name: str) -> LookSet:
    """The look set or the segmented look set; paths are relative."""
    return read_rows(workspace.home.derived(name), LookSet)[0]
