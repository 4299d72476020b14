"""The registry of models: what is registered, and which package serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SERVING_MODEL = "threadline"
"""The registered model whose alias `champion` the service follows."""

CHAMPION = "champion"


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
    """What serves: a version of the serving model and the reference of its collection."""

    version: str
    digest: str
    method: str
    collection: str
    run_id: str
    data_version: str
    code_version: str


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
