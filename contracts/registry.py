"""The registry of models: what is registered, and which package serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SERVING_MODEL = "threadline"
"""The registered model whose alias `champion` the service follows."""

CHAMPION = "champion"

K_RECIPROCAL_GAIN = "k_reciprocal_gain"
"""The tag of a version that says what k-reciprocal re-ranking surely adds to its mAP on the validation queries."""


@dataclass(frozen=True)
class ModelVersion:
    """A registered version of a package."""

    name: str
    version: str
    digest: str
    method: str
    run_id: str
    created_s: float
    tags: dict[str, str]


@dataclass(frozen=True)
class Release:
    """What serves: a version of the serving model and the reference of its collection.

    `k_reciprocal_gain` is what k-reciprocal re-ranking was measured to add at least to the mean average precision on
    the validation queries; 0 where that was not measured.
    """

    version: str
    digest: str
    method: str
    collection: str
    run_id: str
    data_version: str
    code_version: str
    k_reciprocal_gain: float = 0.0


class Registry(Protocol):
    """Where registered packages are found."""

    def champion(self) -> Release | None:
        """What serves now; None before the first release."""
        ...

    def versions(self, name: str = SERVING_MODEL) -> list[ModelVersion]:
        """The registered versions of a model, newest first."""
        ...

    def fetch(self, name: str, version: str, into: Path) -> Path:
        """The package of a version as a folder below `into`, verified; fetched once.

        Raises ThreadlineError when there is none, or it is not what its digest says.
        """
        ...

    def publish(self, version: str, collection: str) -> None:
        """Let `version` of the serving model serve with `collection`: the tag first, then the alias."""
        ...
