"""What assets are given: the workspace they work in, and who watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg

from orchestration.progress import Reporter
from orchestration.resources import Workspace


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
