"""Publishing a candidate, and taking away what nobody reads any more."""

from __future__ import annotations

import json

from contracts.errors import ThreadlineError
from contracts.registry import Release
from orchestration.candidates import Candidate
from orchestration.home import Home
from orchestration.resources import Workspace
from orchestration.trainings import Outcome, read_outcome


def read_collection(home: Home) -> str:
    """The reference of the collection that was made last."""
    return str(json.loads(home.derived("index").read_text(encoding="utf-8"))["collection"])


def publish(workspace: Workspace, candidate: Candidate, collection: str) -> Release:
    """Register the candidate as a version of the serving model and let it serve with its collection.

    The collection's tag is written first and the alias last, so a reader sees the old release or the new one.
    """
    from orchestration.tracking import register_serving

    outcome = _outcome(workspace, candidate)
    version = register_serving(workspace.home.tracking_uri, candidate.method, outcome.version)
    workspace.registry.publish(version, collection)
    release = workspace.registry.champion()
    if release is None or release.digest != candidate.digest:
        raise ThreadlineError("the registry does not serve what was published", "materialise `release` again")
    return release


def retire(workspace: Workspace) -> int:
    """Drop the oldest references beyond the configured number, never the serving one. Returns how many."""
    serving = workspace.registry.champion()
    kept = workspace.configuration.keep_generations
    index = workspace.index
    old = [reference for reference in index.references() if serving is None or reference != serving.collection]
    dropped = old[: max(0, len(old) - (kept - 1))]
    for reference in dropped:
        index.drop(reference)
    return len(dropped)


def _outcome(workspace: Workspace, candidate: Candidate) -> Outcome:
    outcome = read_outcome(workspace.home, candidate.method)
    if outcome.digest == candidate.digest:
        return outcome
    for version in workspace.registry.versions(candidate.method):
        if version.digest == candidate.digest:
            return Outcome(version.digest, "", {}, version.run_id, version.version)
    raise ThreadlineError(
        f"{candidate.method} {candidate.digest[:12]} is not registered", f"materialise `{candidate.method}` again"
    )
