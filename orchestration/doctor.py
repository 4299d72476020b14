"""`threadline doctor`: this machine, this workspace and the services behind it, each tried as it will be used."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from orchestration import service_checks
from orchestration.findings import Check, Finding, State, carried_out
from orchestration.resources import Workspace

_GIB = 2**30
_LEAST_FREE, _LITTLE_FREE = 1 * _GIB, 10 * _GIB
_LEAST_FILES = 100_000
_FUTURE_S = 60.0


def examine(workspace: Workspace) -> list[Finding]:
    """Every check, in the order in which problems explain each other; none of them leaves anything behind."""
    checks: dict[str, Check] = {
        "python": _python,
        "packages": _packages,
        "workspace": _configuration,
        "directories": _directories,
        "disk": _disk,
        "clock": _clock,
        **service_checks.CHECKS,
    }
    return [found for name, check in checks.items() for found in carried_out(name, check, workspace)]


def _python(workspace: Workspace) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _packages(workspace: Workspace) -> Iterator[Finding]:
    for extra in ("orchestration", *_extras(workspace)):
        wrong = list(_wrong_packages(extra))
        name = f"packages of {extra}"
        if wrong:
            remedy = f"install the extra '{extra}': pip install '.[{extra}]' in the checkout"
            yield Finding(name, "failed", "; ".join(wrong), remedy)
        else:
            yield Finding(name, "ok", "installed, in releases that fit")


def _extras(workspace: Workspace) -> Iterator[str]:
    """The extras that the services of this workspace need."""
    services = workspace.services
    addresses = (services.artifact_root, services.derived_root, services.dvc_remote)
    if services.dagster_url or (services.tracking_uri or "").startswith("postgresql"):
        yield "postgres"
    if any((address or "").startswith("s3://") for address in addresses):
        yield "s3"
    if services.engine in ("celery", "kubernetes"):
        yield services.engine


def _wrong_packages(extra: str) -> Iterator[str]:
    for text in requires("threadline") or ():
        wanted = Requirement(text)
        if wanted.marker is None or not wanted.marker.evaluate({"extra": extra}):
            continue
        if wanted.name == "threadline":  # an extra that holds others
            for held in sorted(wanted.extras):
                yield from _wrong_packages(held)
            continue
        try:
            installed = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is not installed"
        else:
            if not wanted.specifier.contains(installed, prereleases=True):
                yield f"{wanted.name} is {installed}, not {wanted.specifier}"


def _configuration(workspace: Workspace) -> Iterator[Finding]:
    preset = workspace.configuration.preset
    yield Finding("workspace", "ok", f"{workspace.root}, preset {preset}")


def _directories(workspace: Workspace) -> Iterator[Finding]:
    """Whether this user may write where commands will."""
    places = workspace.places
    wanted = [place for place in (places.root, places.home, places.data, places.incoming) if place.is_dir()]
    for place in wanted:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
    yield Finding("directories", "ok", f"{len(wanted)} may be written")


def _disk(workspace: Workspace) -> Iterator[Finding]:
    place = _existing(workspace.home.root)
    free, files = shutil.disk_usage(place).free, os.statvfs(place).f_favail
    what = f"{free / _GIB:.1f} GiB free at {place}"
    remedy = "free some space: `threadline clean` may; `data/` and `.threadline/pictures` are what grows"
    state: State = "failed" if free < _LEAST_FREE else "warning" if free < _LITTLE_FREE else "ok"
    yield Finding("disk", state, what, "" if state == "ok" else remedy)
    if 0 < files < _LEAST_FILES:
        yield Finding("disk", "warning", f"{files:,} more files can be made at {place}", "raise the number of inodes")


def _clock(workspace: Workspace) -> Iterable[Finding]:
    """A clock that went back makes new things look old; services compare theirs with ours below."""
    newest = max((path.stat().st_mtime for path in _dated(workspace)), default=0.0)
    ahead_s = newest - time.time()
    if ahead_s > _FUTURE_S:
        remedy = "set the clock (NTP), then run `threadline plan`"
        return [Finding("clock", "failed", f"files of the workspace are from {ahead_s:,.0f} s ahead of now", remedy)]
    return [Finding("clock", "ok", f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC")]


def _dated(workspace: Workspace) -> list[Path]:
    candidates = [workspace.root / "data.dvc", workspace.home.splits, workspace.home.derived("candidate")]
    return [path for path in candidates if isinstance(path, Path) and path.exists()]


def _existing(path: Path) -> Path:
    """The path, or the closest directory above it that there is."""
    return next(place for place in (path, *path.parents) if place.exists())
