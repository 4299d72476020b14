"""The workspace that commands and assets work in. Reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path

from pydantic import ValidationError

from contracts.batches import CatalogueBatch, read_catalogue_batch
from contracts.errors import ThreadlineError
from contracts.index import ArticleIndex
from contracts.registry import SERVING_MODEL
from orchestration.configuration import Configuration, read_configuration
from orchestration.home import Home
from orchestration.places import Places
from orchestration.services import EMBEDDED, Services
from serving.index import open_index
from serving.inference import PackageSession
from serving.registry import MlflowRegistry
from training.presets import Preset, on_machine, preset

WORKSPACE_VARIABLE = "THREADLINE_WORKSPACE"
MLFLOW_VARIABLE = "THREADLINE_MLFLOW_URL"
STEWARD_VARIABLE = "THREADLINE_STEWARD_URL"
DAGSTER_VARIABLE = "THREADLINE_DAGSTER_URL"
TRACKING_VARIABLE = "THREADLINE_TRACKING_URI"
BROKER_VARIABLE = "THREADLINE_BROKER_URL"

VARIABLES = {
    "dagster_url": DAGSTER_VARIABLE,
    "tracking_uri": TRACKING_VARIABLE,
    "artifact_root": "THREADLINE_ARTIFACT_ROOT",
    "mlflow_url": MLFLOW_VARIABLE,
    "steward_url": STEWARD_VARIABLE,
    "derived_root": "THREADLINE_DERIVED_ROOT",
    "dvc_remote": "THREADLINE_DVC_REMOTE",
    "engine": "THREADLINE_ENGINE",
    "broker_url": BROKER_VARIABLE,
    "qdrant_url": "QDRANT_URL",
    "qdrant_api_key": "QDRANT_API_KEY",
    "qdrant_ca": "QDRANT_CA",
    "qdrant_shards": "QDRANT_SHARDS",
    "qdrant_replicas": "QDRANT_REPLICAS",
    "qdrant_write_consistency": "QDRANT_WRITE_CONSISTENCY",
    "qdrant_on_disk": "QDRANT_ON_DISK",
    "qdrant_quantisation": "QDRANT_QUANTISATION",
}
"""The variable of each field of `Services`."""


@dataclass(frozen=True)
class Workspace:
    """A workspace: its directories, its configuration, and the services behind it."""

    root: Path
    services: Services = EMBEDDED

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
        return Home(self.places.home, self.services)

    @cached_property
    def configuration(self) -> Configuration:
        """What `threadline.toml` says."""
        return read_configuration(self.root)

    @cached_property
    def preset(self) -> Preset:
        """The configuration of every training, as `threadline.toml` chooses it."""
        machine = self.configuration.training
        chosen = preset(self.configuration.preset, machine.weights)
        return on_machine(chosen, machine.devices, machine.workers, machine.precision, machine.seed)

    def run_page(self, run_id: str) -> str | None:
        """The address of a run's page in MLflow, where it is known under which address MLflow's pages are."""
        if not self.services.mlflow_url or not run_id:
            return None
        return f"{self.services.mlflow_url}/#/experiments/{self.registry.experiment_of(run_id)}/runs/{run_id}"

    def elsewhere(self, root: Path) -> Workspace:
        """Another workspace with the same settings, and embedded services of its own."""
        return replace(self, root=root, services=EMBEDDED)

    @property
    def registry(self) -> MlflowRegistry:
        """The registry of models."""
        return MlflowRegistry(self.home.tracking_uri)

    @property
    def index(self) -> ArticleIndex:
        """The index of article vectors."""
        named = self.services
        return open_index(
            self.home.root, named.qdrant_url, named.qdrant_api_key, ca=named.qdrant_ca, layout=named.layout
        )

    def catalogue_batch(self, name: str) -> CatalogueBatch:
        """An accepted catalogue batch."""
        return read_catalogue_batch(self.places.accepted("catalogue", name))

    def find(self, digest: str) -> Path | None:
        """The folder of the package with that digest, fetched where another machine made it; None where it is gone."""
        place = self.home.package(digest)
        if place.exists():
            return place
        models = (SERVING_MODEL, *(field.name for field in fields(Preset)))
        known = (version for name in models for version in self.registry.versions(name))
        found = next((version for version in known if version.digest == digest), None)
        return self.registry.fetch(found.name, found.version, place.parent) if found else None

    def package(self, digest: str) -> Path:
        """As `find`. Raises ThreadlineError where the package is neither here nor in the registry."""
        found = self.find(digest)
        if found is None:
            problem = f"the package {digest[:12]} is neither in {self.home.package(digest).parent} nor in the registry"
            raise ThreadlineError(problem, "register it (threadline package import), or train its model again")
        return found

    def session(self, digest: str) -> PackageSession:
        """The package with that digest, opened."""
        return _opened(self.package(digest))


@lru_cache(maxsize=2)
def _opened(package: Path) -> PackageSession:
    """The steps of a process share a session: to open one takes seconds, and a package never changes."""
    return PackageSession(package)


def workspace_from_environment(root: Path | None = None) -> Workspace:
    """The workspace at `root`, at THREADLINE_WORKSPACE, or here, with the services that the environment names."""
    place = root or Path(os.environ.get(WORKSPACE_VARIABLE, "."))
    return Workspace(place.resolve(), services_from_environment())


def services_from_environment() -> Services:
    """The services that VARIABLES name; an empty one counts as unset. Raises ThreadlineError naming the variable."""
    named = {field: os.environ[name] for field, name in VARIABLES.items() if os.environ.get(name)}
    try:
        return Services.model_validate(named)
    except ValidationError as error:
        wrong = "; ".join(": ".join([*(VARIABLES[str(at)] for at in e["loc"]), e["msg"]]) for e in error.errors())
        raise ThreadlineError(wrong, "correct or unset that variable (the operator's guide lists them)") from None
