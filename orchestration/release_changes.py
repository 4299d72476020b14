"""What changed between two releases: package, configuration, data, code, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.errors import ThreadlineError
from contracts.model_package import ModelPackage, read_package
from contracts.registry import SERVING_MODEL, ModelVersion
from orchestration.dvc_data import batch_digests, manifest
from orchestration.releasing import find_version
from orchestration.resources import Workspace

Changed = dict[str, tuple[Any, Any]]
"""Name -> (before, after)."""


@dataclass(frozen=True)
class ReleaseChanges:
    """How release `after` differs from release `before`; batches are "<kind>/<name>".

    `batches` is None where the manifest of one of the two data versions is not in DVC's cache.
    """

    before: str
    after: str
    identity: Changed
    configuration: Changed
    metrics: Changed
    batches: dict[str, list[str]] | None

    def as_json(self) -> dict[str, Any]:
        """The changes as plain values."""
        return dict(vars(self))


def describe_release(workspace: Workspace, version: str) -> dict[str, Any]:
    """All that is known of a release. Raises ThreadlineError when there is none."""
    found = find_version(workspace, version)
    package = _package(workspace, found)
    return {
        **_identity(found),
        "made_s": found.created_s,
        "run": found.run_id,
        "metrics": package.metrics,
        "inputs": package.provenance.inputs,
        "configuration": package.provenance.config,
    }


def release_changes(workspace: Workspace, before: str, after: str) -> ReleaseChanges:
    """What changed from release `before` to release `after`. Raises ThreadlineError when there is no such release."""
    one, other = find_version(workspace, before), find_version(workspace, after)
    old, new = _package(workspace, one), _package(workspace, other)
    return ReleaseChanges(
        before,
        after,
        _differing(_identity(one), _identity(other)),
        _differing(_flat(old.provenance.config), _flat(new.provenance.config)),
        _differing(old.metrics, new.metrics),
        _batch_changes(workspace, old.provenance.data_version, new.provenance.data_version),
    )


def _package(workspace: Workspace, version: ModelVersion) -> ModelPackage:
    packages = workspace.home.package(version.digest).parent
    return read_package(workspace.registry.fetch(SERVING_MODEL, version.version, packages))


def _identity(version: ModelVersion) -> dict[str, Any]:
    tags = {name: version.tags.get(name, "") for name in ("data_version", "code_version", "collection")}
    return {"method": version.method, "package": version.digest, **tags}


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changed:
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, one in value.items():
        flat.update(_flat(one, f"{prefix}{key}.") if isinstance(one, Mapping) else {f"{prefix}{key}": one})
    return flat


def _batch_changes(workspace: Workspace, before: str, after: str) -> dict[str, list[str]] | None:
    try:
        old, new = (batch_digests(manifest(workspace.root, md5).files) for md5 in (before, after))
    except ThreadlineError:
        return None
    named = {f"{kind}/{batch}": (old.get((kind, batch)), new.get((kind, batch))) for kind, batch in {*old, *new}}
    return {
        "added": sorted(name for name, (was, _) in named.items() if was is None),
        "removed": sorted(name for name, (_, now) in named.items() if now is None),
        "changed": sorted(name for name, (was, now) in named.items() if was and now and was != now),
    }
