"""Where derived things lie: in a workspace's home, or with the services in its place. All of it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts.files import Place
from orchestration.object_store import StoredFile
from orchestration.services import EMBEDDED, Services


@dataclass(frozen=True)
class Home:
    """The directories below `.threadline/`, and the services that keep what does not lie there.

    What is a `Place` may lie in an object store that several machines share; what is a `Path` is of this machine.
    """

    root: Path
    services: Services = EMBEDDED

    @property
    def shared(self) -> Place:
        """Where everything lies that is a `Place`."""
        address = self.services.derived_root
        if address is None:
            return self.root
        return StoredFile(address) if "://" in address else Path(address)

    @property
    def catalogue(self) -> Place:
        """The articles as they are now, as one batch whose paths are relative to `data/`."""
        return self.shared / "derived" / "catalogue"

    @property
    def photos(self) -> Place:
        """The photos and pairs as they are now, as one batch whose paths are relative to `data/`."""
        return self.shared / "derived" / "photos"

    @property
    def splits(self) -> Place:
        """The side of every photo and article, kept for ever."""
        return self.shared / "splits.parquet"

    def derived(self, name: str) -> Place:
        """The JSON file of a training set or of a decision."""
        return self.shared / "derived" / f"{name}.json"

    def decision(self, name: str) -> Place:
        """The JSON file of what a person decided about releases."""
        return self.shared / "decisions" / f"{name}.json"

    @property
    def attempts(self) -> Place:
        """The attempts that have not succeeded."""
        return self.shared / "attempts"

    def lock(self, name: str) -> Path:
        """The file whose lock says who works on what."""
        return self.root / "locks" / f"{name}.lock"

    def vectors(self, batch: str) -> Place:
        """The article vectors of a catalogue batch."""
        return self.shared / "derived" / "vectors" / f"{batch}.parquet"

    def package(self, digest: str) -> Path:
        """The model package of that digest."""
        return self.root / "packages" / digest

    def training(self, key: str) -> Place:
        """What became of the training whose inputs and configuration have this digest."""
        return self.shared / "trainings" / f"{key}.json"

    def checkpoints(self, key: str) -> Path:
        """The checkpoints of the training whose inputs and configuration have this digest."""
        return self.root / "checkpoints" / key

    def plots(self, name: str) -> Path:
        """Pictures of a training or report."""
        return self.root / "plots" / name

    @property
    def pictures(self) -> Path:
        """Pictures decoded once, at training size."""
        return self.root / "pictures"

    def features(self, model: str, by: str) -> Path:
        """Features by image digest, for one model and what it was computed by: precision and code."""
        return self.root / "features" / f"{model[:16]}-{by}"

    def mask(self, model: str, by: str, sha256: str) -> Path:
        """The mask of the photo with this digest, predicted by a model, a precision and the code."""
        return self.root / "masks" / f"{model[:16]}-{by}" / sha256[:2] / f"{sha256}.png"

    def evaluation(self, digest: str, looks: str) -> Place:
        """The evaluation of a package on one frozen set of queries and gallery."""
        return self.shared / "evaluations" / f"{digest[:16]}-{looks[:16]}.json"

    @property
    def queries(self) -> Path:
        """The query log of a service that runs over this home (`contracts.query_log`)."""
        return self.root / "queries"

    @property
    def report(self) -> Path:
        """The retrieval report: tables and contact sheets."""
        return self.root / "report"

    @property
    def tracking_uri(self) -> str:
        """The MLflow server or database; SQLite in the home by default."""
        return self.services.tracking_uri or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps its files; None where the MLflow server says."""
        if self.services.artifact_root:
            return self.services.artifact_root
        return None if self.tracking_uri.startswith("http") else str(self.root / "mlflow" / "artifacts")

    @property
    def dagster(self) -> Path:
        """Dagster's own home."""
        return self.root / "dagster"
