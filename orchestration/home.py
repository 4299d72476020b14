"""Where derived things lie: in a workspace's home, or with the services in its place. All of it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.services import EMBEDDED, Services


@dataclass(frozen=True)
class Home:
    """The directories below `.threadline/`, and the services that keep what does not lie there."""

    root: Path
    services: Services = EMBEDDED

    @property
    def catalogue(self) -> Path:
        """The articles as they are now, as one batch whose paths are relative to `data/`."""
        return self.root / "derived" / "catalogue"

    @property
    def photos(self) -> Path:
        """The photos and pairs as they are now, as one batch whose paths are relative to `data/`."""
        return self.root / "derived" / "photos"

    @property
    def splits(self) -> Path:
        """The side of every photo and article, kept for ever."""
        return self.root / "splits.parquet"

    def derived(self, name: str) -> Path:
        """The JSON file of a training set or of a decision."""
        return self.root / "derived" / f"{name}.json"

    def decision(self, name: str) -> Path:
        """The JSON file of what a person decided about releases."""
        return self.root / "decisions" / f"{name}.json"

    @property
    def attempts(self) -> Path:
        """The attempts that have not succeeded."""
        return self.root / "attempts"

    def lock(self, name: str) -> Path:
        """The file whose lock says who works on what."""
        return self.root / "locks" / f"{name}.lock"

    def vectors(self, batch: str) -> Path:
        """The article vectors of a catalogue batch."""
        return self.root / "derived" / "vectors" / f"{batch}.parquet"

    def package(self, digest: str) -> Path:
        """The model package of that digest."""
        return self.root / "packages" / digest

    def training(self, key: str) -> Path:
        """What became of the training whose inputs and configuration have this digest."""
        return self.root / "trainings" / f"{key}.json"

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

    def features(self, model: str, precision: str) -> Path:
        """Features by image digest, for one model and precision."""
        return self.root / "features" / f"{model[:16]}-{precision}"

    def mask(self, model: str, precision: str, sha256: str) -> Path:
        """The predicted mask of the photo with this digest."""
        return self.root / "masks" / f"{model[:16]}-{precision}" / sha256[:2] / f"{sha256}.png"

    def evaluation(self, digest: str, looks: str) -> Path:
        """The evaluation of a package on one frozen set of queries and gallery."""
        return self.root / "evaluations" / f"{digest[:16]}-{looks[:16]}.json"

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
