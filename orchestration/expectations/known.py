"""What was accepted so far: what a new batch is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from contracts.batches import ARTICLES, PHOTOS, Kind
from contracts.ledger import read_ledger
from orchestration.places import Places

TABLES: dict[Kind, tuple[str, str]] = {"catalogue": (ARTICLES, "article_id"), "street": (PHOTOS, "photo_id")}
"""The main table of a batch, and its column of ids."""


@dataclass(frozen=True)
class KnownPicture:
    """An accepted picture: the article or photo it is of, its file, its digest."""

    owner: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class KnownData:
    """The ids of the articles and photos accepted so far, how many articles each category has, and the pictures."""

    articles: frozenset[str] = field(default_factory=frozenset)
    photos: frozenset[str] = field(default_factory=frozenset)
    categories: Mapping[str, int] = field(default_factory=dict)
    pictures: tuple[KnownPicture, ...] = ()
    """Those of the kind of the batch that is judged."""


def known_data(places: Places, kind: Kind) -> KnownData:
    """What the batches that the ledger names hold, as it is now, for judging a batch of that kind.

    Only their tables are read.
    """
    articles = _as_they_are(places, "catalogue", {"category": "", "images": (), "sha256": ()})
    photos = _as_they_are(places, "street", {"image": "", "sha256": ""})
    if kind == "catalogue":
        named = [
            (key, row["batch"] / image, digest)
            for key, row in articles.items()
            for image, digest in zip(row["images"], row["sha256"], strict=False)
        ]
    else:
        named = [(key, row["batch"] / row["image"], row["sha256"]) for key, row in photos.items() if row["image"]]
    return KnownData(
        frozenset(articles),
        frozenset(photos),
        Counter(row["category"] for row in articles.values()),
        tuple(KnownPicture(*one) for one in named),
    )


def _as_they_are(places: Places, kind: Kind, columns: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows by id with `columns` (and what an empty cell stands for) and the directory of their batch.

    An upsert without images keeps those there were.
    """
    table, key = TABLES[kind]
    rows: dict[str, dict[str, Any]] = {}
    for entry in read_ledger(places.data):
        root = places.accepted(entry.kind, entry.batch)
        if entry.kind != kind or not (root / table).is_file():
            continue
        file = pq.ParquetFile(root / table)
        there = [name for name in (key, "op", *columns) if name in file.schema_arrow.names]
        for row in file.read(columns=there).to_pylist():
            before = rows.pop(str(row[key]), None)
            if row["op"] == "delete":
                continue
            full = {name: row.get(name) or empty for name, empty in columns.items()} | {"batch": root}
            if before and kind == "catalogue" and not full["images"]:
                full |= {name: before[name] for name in ("images", "sha256", "batch")}
            rows[str(row[key])] = full
    return rows
