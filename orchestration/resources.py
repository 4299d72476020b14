"""What assets are given: the workspace they work in, and who watches. Reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from contracts.batches import CatalogueBatch, read_catalogue_batch
from contracts.index import ArticleIndex
from orchestration.configuration import Configuration, read_configuration
from orchestration.home import Home
from orchestration.places import Places
from orchestration.progress import Reporter
from serving.index import open_index
from serving.inference import PackageSession
from serving.registry import MlflowRegistry

WORKSPACE_VARIABLE = "THREADLINE_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """A workspace: its directories, its configuration, and the services behind it."""

    root: Path
    qdrant_url: str | None = None
    qdrant_api_key: str | None = field(default=None, repr=False)

    @property
    def places(self) -> Places:
        """The directories that people see."""
        return Places(self.root)

    @property
    def data(self) -> Path:
        """The accepted batches."""
        return self.places.data

    @property
    def home(self) -> Home:
        """The directories of what is derived."""
        return Home(self.places.home)

    @cached_property
    def configuration(self) -> Configuration:
        """What `threadline.toml` says."""
        return read_configuration(self.root)

    @property
    def registry(self) -> MlflowRegistry:
        """The registry of models."""
        return MlflowRegistry(self.home.tracking_uri)

    @property
    def index(self) -> ArticleIndex:
        """The index of article vectors."""
        return open_index(self.home.root, self.qdrant_url, self.qdrant_api_key)

    def catalogue_batch(self, name: str) -> CatalogueBatch:
        """An accepted catalogue batch."""
        return read_catalogue_batch(self.places.accepted("catalogue", name))

    def session(self, digest: str) -> PackageSession:
        """The package with that digest, opened."""
        return PackageSession(self.home.package(digest))


def workspace_from_environment(root: Path | None = None) -> Workspace:
    """The workspace at `root`, at THREADLINE_WORKSPACE, or here; QDRANT_URL and QDRANT_API_KEY name a server."""
    place = root or Path(os.environ.get(WORKSPACE_VARIABLE, "."))
    return Workspace(place.resolve(), os.environ.get("QDRANT_URL"), os.environ.get("QDRANT_API_KEY"))


class NoPickles(dg.IOManager):
    """Assets keep their own files; nothing else is stored between steps."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Refuse every value."""
        if obj is not None:
            raise dg.DagsterInvariantViolationError(f"{context.step_key} returned a value; return Made instead")

    def load_input(self, context: dg.InputContext) -> Any:
        """Refuse every input."""
        raise dg.DagsterInvariantViolationError(f"{context.name} is read from its files, not from an IO manager")


def resources(workspace: Workspace, reporter: Reporter | None) -> dict[str, Any]:
    """The resources of the graph; without a reporter progress goes to the run's log."""
    return {"workspace": workspace, "watcher": Watcher(reporter), "io_manager": NoPickles()}


@dataclass(frozen=True)
class Watcher:
    """Who watches a run; nobody means its log."""

    reporter: Reporter | None
