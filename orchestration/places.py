"""Where things lie in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts.batches import Kind


@dataclass(frozen=True)
class Places:
    """The directories of the workspace `root`. None of them need exist."""

    root: Path

    @property
    def data(self) -> Path:
        """The accepted batches and the ledger; tracked by DVC."""
        return self.root / "data"

    @property
    def incoming(self) -> Path:
        """Where new batches are delivered."""
        return self.root / "incoming"

    @property
    def home(self) -> Path:
        """All that is derived."""
        return self.root / ".threadline"

    @property
    def quarantine(self) -> Path:
        """The rows set aside, batch by batch."""
        return self.home / "quarantine"

    @property
    def reports(self) -> Path:
        """The verdicts with their Data Docs and contact sheets."""
        return self.home / "reports"

    @property
    def rejected(self) -> Path:
        """The batches that a steward rejected, each with the decision."""
        return self.home / "rejected"

    @property
    def intake(self) -> Path:
        """Batches on their way into `data`; nothing here outlives the next acceptance."""
        return self.home / "intake"

    def delivered(self, kind: Kind, batch: str) -> Path:
        """Where a batch is delivered."""
        return self.incoming / kind / batch

    def accepted(self, kind: Kind, batch: str) -> Path:
        """Where a batch lies once accepted."""
        return self.data / kind / batch

    def report(self, kind: Kind, batch: str) -> Path:
        """The report on a batch."""
        return self.reports / kind / batch

    def set_aside(self, kind: Kind, batch: str) -> Path:
        """The rows of a batch that were set aside, as a batch of their own."""
        return self.quarantine / kind / batch
