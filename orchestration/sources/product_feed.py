"""A shop's product feed: `styles.csv` and `images/<id>.jpg`, as Fashion Product Images is published."""

from __future__ import annotations

from pathlib import Path

from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.folder import deliver_folder
from orchestration.sources.report import ImportReport

COLUMNS = {"article_id": "id", "image": "id", "name": "productDisplayName", "category": "articleType"}


def deliver_product_feed(
    path: Path, into: Path, progress: Reporter = silent, *, limit: int | None = None
) -> ImportReport:
    """Turn the feed in the directory `path` into a catalogue batch at `into`; the feed's other columns are attributes.

    Raises ThreadlineError when `styles.csv` cannot be used at all; a bad row is left out and reported.
    """
    table = path / "styles.csv"
    return deliver_folder(path, into, progress, table=table, columns=COLUMNS, limit=limit, source="product-feed")
