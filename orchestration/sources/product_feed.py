"""A shop's product feed, as Fashion Product Images is published.

styles.csv          id, gender, masterCategory, subCategory, articleType, baseColour, …, productDisplayName
images/<id>.jpg
"""

from __future__ import annotations

from pathlib import Path

from orchestration.progress import Reporter
from orchestration.silence import silent
from orchestration.sources.folder import deliver_folder
from orchestration.sources.report import ImportReport

COLUMNS = {"article_id": "id", "image": "id", "name": "productDisplayName", "category": "articleType"}


def deliver_product_feed(
    path: Path,
    into: Path,
    progress: Reporter = silent,
    *,
    all_categories: bool = False,
    limit: int | None = None,
) -> ImportReport:
    """Turn the feed in the directory `path` into a catalogue batch at `into`; the feed's other columns are attributes.

    The article types are mapped to the eight categories; the others are left out and counted, or with
    `all_categories` kept by their names. Raises ThreadlineError when `styles.csv` cannot be used at all; a bad row is
    left out and reported.
    """
    return deliver_folder(
        path,
        into,
        progress,
        table=path / "styles.csv",
        columns=COLUMNS,
        all_categories=all_categories,
        limit=limit,
        source="product-feed",
    )
