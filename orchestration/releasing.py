"""Publishing a candidate, what people decide about that, and taking away what nobody reads any more."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from contracts.errors import ThreadlineError
from contracts.files import write_json
from contracts.registry import ModelVersion, Release
from orchestration.candidates import Candidate, read_choice
from orchestration.decisions import Approval, Pin, now, write_approval, write_pin
from orchestration.home import Home
from orchestration.resources import Workspace
from orchestration.trainings import Outcome, read_outcome


@dataclass(frozen=True)
class Indexed:
    """The collection that was made last, of so many articles, and its package: what is released together."""

    package: Candidate
    collection: str
    articles: int


def read_indexed(home: Home) -> Indexed:
    """What `write_indexed` wrote."""
    value = json.loads(home.derived("indexed").read_text(encoding="utf-8"))
    return Indexed(Candidate(**value["package"]), str(value["collection"]), int(value["articles"]))


def write_indexed(home: Home, indexed: Indexed) -> None:
    """Write it in one step."""
    write_json(home.derived("indexed"), asdict(indexed))


def articles_indexed(home: Home, package: str) -> int | None:
    """How many articles the collection of that package was made with; None unless it is the one made last."""
    if not home.derived("indexed").exists():
        return None
    indexed = read_indexed(home)
    return indexed.articles if indexed.package.digest == package else None


def replace_lost(workspace: Workspace, package: str, reference: str) -> None:
    """Let `reference` serve at once where that package serves with a collection that is gone."""
    serving = workspace.registry.champion()
    if serving is None or serving.digest != package or serving.collection in workspace.index.references():
        return
    workspace.registry.publish(serving.version, reference)


def publish(workspace: Workspace, indexed: Indexed) -> Release:
    """Register the package as a version of the serving model and let it serve with its collection.

    The collection's tag is written first and the alias last, so a reader sees the old release or the new one.
    """
    from orchestration.tracking import register_serving

    outcome = _outcome(workspace, indexed.package)
    version = register_serving(workspace.home.tracking_uri, indexed.package.method, outcome.version)
    workspace.registry.publish(version, indexed.collection)
    release = workspace.registry.champion()
    if release is None or release.digest != indexed.package.digest:
        raise ThreadlineError("the registry does not serve what was published", "materialise `release` again")
    return release


def retire(workspace: Workspace, now_s: float) -> int:
    """Drop collections beyond the configured number that have not served for the grace period. Returns how many.

    The serving one is never dropped, and the one that served last goes last. A collection's grace starts when a
    release first finds that it does not serve. Only collections that this registry once released are looked at: a
    server may hold somebody else's.
    """
    serving, index = workspace.registry.champion(), workspace.index
    released = {_name_of(one.tags.get("collection", "")) for one in workspace.registry.versions()}
    ours = {reference for reference in index.references() if _name_of(reference) in released}
    unserved = ours - ({serving.collection} if serving else set())
    path = workspace.home.derived("unserved")
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    since = {reference: known.get(reference, now_s) for reference in sorted(unserved)}
    beyond = sorted(since, key=lambda reference: since[reference])[: max(0, len(since) - _others_kept(workspace))]
    dropped = [one for one in beyond if now_s - since[one] >= workspace.configuration.grace_hours * 3600]
    for reference in dropped:
        index.drop(reference)
    write_json(path, {reference: at_s for reference, at_s in since.items() if reference not in dropped})
    return len(dropped)


def pin_release(workspace: Workspace, version: str, who: str, reason: str) -> Pin:
    """Let `version` of the serving model serve until it is unpinned. Raises ThreadlineError when there is none."""
    found = find_version(workspace, version)
    pin = Pin(found.version, found.digest, found.method, who, now(), reason)
    write_pin(workspace.home, pin)
    return pin


def approve_proposal(workspace: Workspace, who: str, reason: str) -> Candidate:
    """Let the package that waits for an approval serve. Raises ThreadlineError when none waits."""
    proposed = read_choice(workspace.home).proposed
    if proposed is None:
        raise ThreadlineError("no package waits for an approval", "see what serves: threadline releases")
    write_approval(workspace.home, Approval(proposed.digest, who, now(), reason))
    return proposed


def find_version(workspace: Workspace, version: str) -> ModelVersion:
    """A version of the serving model. Raises ThreadlineError when there is none."""
    for one in workspace.registry.versions():
        if one.version == version:
            return one
    raise ThreadlineError(f"there is no release {version}", "list them: threadline releases")


def _name_of(reference: str) -> str:
    """The collection of a reference, which may name one of its generations: a tag knows the last of them only."""
    return reference.partition("/")[0]


def _others_kept(workspace: Workspace) -> int:
    return workspace.configuration.keep_generations - 1


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
