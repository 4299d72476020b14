"""What assets are given: the workspace they work in, and who watches. Reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
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
from training.presets import Preset, preset

WORKSPACE_VARIABLE = "THREADLINE_WORKSPACE"
MLFLOW_VARIABLE = "THREADLINE_MLFLOW_URL"


@dataclass(frozen=True)
class Workspace:
    """A workspace: its directories, its configuration, and the services behind it."""

    root: Path
    qdrant_url: str | None = None
    qdrant_api_key: str | None = field(default=None, repr=False)
    mlflow_url: str | None = None

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

    @cached_property
    def preset(self) -> Preset:
        """The configuration of every training, as `threadline.toml` chooses it."""
        return preset(self.configuration.preset)

    def run_page(self, run_id: str) -> dg.MetadataValue[Any]:
        """The page of a run in MLflow, where it is known under which address MLflow's pages are; else the run's id."""
        if not self.mlflow_url or not run_id:
            return dg.MetadataValue.text(run_id)
        experiment = self.registry.experiment_of(run_id)
        return dg.MetadataValue.url(f"{self.mlflow_url}/#/experiments/{experiment}/runs/{run_id}")

    def elsewhere(self, root: Path) -> Workspace:
        """Another workspace with the same settings, and an index of its own."""
        return replace(self, root=root, qdrant_url=None, qdrant_api_key=None)

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
    """The workspace at `root`, at THREADLINE_WORKSPACE, or here.

    QDRANT_URL and QDRANT_API_KEY name a server, THREADLINE_MLFLOW_URL the address of MLflow's pages.
    """
    place = root or Path(os.environ.get(WORKSPACE_VARIABLE, "."))
    server, key = os.environ.get("QDRANT_URL"), os.environ.get("QDRANT_API_KEY")
    return Workspace(place.resolve(), server, key, os.environ.get(MLFLOW_VARIABLE))


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
