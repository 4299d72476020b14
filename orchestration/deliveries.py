"""Every source by the name that `threadline import` gives it, delivered with its defaults, to measure on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from contracts.batches import Kind
from contracts.errors import ThreadlineError
from orchestration.progress import Reporter
from orchestration.sources.folder import deliver_folder
from orchestration.sources.folder_photos import deliver_folder_photos
from orchestration.sources.product_feed import deliver_product_feed
from orchestration.sources.published import PUBLISHED, Published
from orchestration.sources.report import ImportReport
from orchestration.sources.sample import SampleSize, deliver_sample

Places = Mapping[Kind, Path]
"""Where the batch of each kind goes."""

Delivery = Callable[[str, Places, Reporter, int | None], ImportReport]


def deliver(source: str, path: str, places: Places, progress: Reporter, limit: int | None = None) -> ImportReport:
    """Turn `path` into a batch of each kind that the source `source` brings; at most `limit` rows are taken.

    The path of `sample` is the seed of the wardrobe to render, its limit the number of garments. Raises
    ThreadlineError for an unknown source or an unusable path.
    """
    if source not in _SOURCES:
        raise ThreadlineError(f"there is no source '{source}'", f"choose one of {', '.join(_SOURCES)}")
    return _SOURCES[source](path, places, progress, limit)


def _folder(path: str, places: Places, progress: Reporter, limit: int | None) -> ImportReport:
    return deliver_folder(Path(path), places["catalogue"], progress, limit=limit)


def _folder_photos(path: str, places: Places, progress: Reporter, limit: int | None) -> ImportReport:
    return deliver_folder_photos(Path(path), places["street"], progress, limit=limit)


def _product_feed(path: str, places: Places, progress: Reporter, limit: int | None) -> ImportReport:
    return deliver_product_feed(Path(path), places["catalogue"], progress, limit=limit)


def _sample(path: str, places: Places, progress: Reporter, limit: int | None) -> ImportReport:
    if not path.isdecimal():
        raise ThreadlineError(f"the sample has no path '{path}'", "give the seed of a wardrobe, a number")
    size = SampleSize(garments=limit or SampleSize().garments)
    return deliver_sample(places["catalogue"], places["street"], progress, seed=int(path), size=size)


def _published(one: Published) -> Delivery:
    return lambda path, places, progress, limit: one.into(Path(path), places, progress, limit)


_SOURCES: dict[str, Delivery] = {
    **{one.name: _published(one) for one in PUBLISHED},
    "product-feed": _product_feed,
    "folder": _folder,
    "folder-photos": _folder_photos,
    "sample": _sample,
}
