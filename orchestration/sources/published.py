"""The sources that are read as they were published, by the names that `threadline import` gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.batches import Kind
from orchestration.progress import Reporter
from orchestration.sources.chictopia10k import deliver_chictopia10k
from orchestration.sources.clothing_co_parsing import deliver_clothing_co_parsing
from orchestration.sources.deepfashion import deliver_deepfashion
from orchestration.sources.lookbook import deliver_lookbook
from orchestration.sources.report import ImportReport
from orchestration.sources.street2shop import deliver_street2shop
from orchestration.sources.viton import deliver_viton


@dataclass(frozen=True)
class Published:
    """A source: what it brings, in one line, what its directory holds, and the batches that it becomes.

    `deliver` takes the directory, a place for each batch in the order of `kinds`, a reporter and `limit=`.
    """

    name: str
    help: str
    layout: str
    kinds: tuple[Kind, ...]
    deliver: Callable[..., ImportReport]

    def into(self, path: Path, places: Mapping[Kind, Path], progress: Reporter, limit: int | None) -> ImportReport:
        """Turn the directory `path` into a batch of each kind at its place. Raises ThreadlineError."""
        return self.deliver(path, *(places[kind] for kind in self.kinds), progress, limit=limit)


_LOOKS: tuple[Kind, ...] = ("catalogue", "street")

PUBLISHED = (
    Published(
        "viton",
        "Studio photos and packshots of the same garments, as VITON is published.",
        "person/, cloth/, pairs.csv",
        _LOOKS,
        deliver_viton,
    ),
    Published(
        "clothing-co-parsing",
        "Street photos with pixel labels, as Clothing Co-Parsing is published.",
        "photos/, annotations/, label_list.mat",
        ("street",),
        deliver_clothing_co_parsing,
    ),
    Published(
        "chictopia10k",
        "Street photos with label maps, as Chictopia10k is published.",
        "JPEGImages/, SegmentationClassAug/",
        ("street",),
        deliver_chictopia10k,
    ),
    Published(
        "deepfashion",
        "Consumer-to-Shop or In-Shop with its boxes, as DeepFashion is published.",
        "Anno/, Eval/, Img/ of one of the two",
        _LOOKS,
        deliver_deepfashion,
    ),
    Published(
        "street2shop",
        "Street photos with boxes and the products they show, as Street2Shop is published.",
        "photos/photos.txt, meta/json/, and what was downloaded",
        _LOOKS,
        deliver_street2shop,
    ),
    Published(
        "lookbook",
        "Product pictures and photos of people who wear them, as LookBook is published.",
        "data/PID…_CLEAN…_IID….jpg",
        _LOOKS,
        deliver_lookbook,
    ),
)
