"""Finding a model package by what people call it."""

from __future__ import annotations

import re
from pathlib import Path

from contracts.errors import ThreadlineError
from contracts.model_package import PACKAGE_FILE, read_package
from contracts.registry import CHAMPION, SERVING_MODEL
from orchestration.resources import Workspace

SEGMENTER = "street2fashion"

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def find_package(workspace: Workspace, named: str) -> Path:
    """The folder of the package that `named` means: fetched from the registry where it is not in the workspace.

    `champion` is what serves, a number a version of the serving model, `reid_baseline` the latest registered version
    of that model, `reid_baseline/3` its version 3; eight or more digits of a package's digest name one that lies in
    the workspace. Raises ThreadlineError when there is no such package, naming what there is.
    """
    packages = workspace.home.package("any").parent
    if named == CHAMPION:
        release = workspace.registry.champion()
        if release is None:
            raise ThreadlineError("nothing was released yet", "run `threadline materialize`, or name another package")
        return workspace.registry.fetch(SERVING_MODEL, release.version, packages)
    if named.isdecimal() and len(named) < 8:
        return workspace.registry.fetch(SERVING_MODEL, named, packages)
    name, _, version = named.partition("/")
    if version:
        return workspace.registry.fetch(name, version, packages)
    if _DIGEST.fullmatch(named):
        found = sorted(packages.glob(f"{named}*/{PACKAGE_FILE}"))
        if len(found) == 1:
            return found[0].parent
    elif _is_name(named) and (versions := workspace.registry.versions(named)):
        return workspace.registry.fetch(named, versions[0].version, packages)
    raise ThreadlineError(
        f"there is no package '{named}'",
        "name 'champion', a version (see `threadline releases`), a model such as 'reid_baseline', "
        "or the digits of a package in `threadline status`",
    )


def find_segmenter(workspace: Workspace, named: str | None) -> Path:
    """The folder of a package that segments: the one `named`, or else the champion if it does, or `street2fashion`.

    Raises ThreadlineError when there is none, or the one named does not segment.
    """
    if named is not None:
        root = find_package(workspace, named)
        if not read_package(root).segments:
            raise ThreadlineError(f"the package '{named}' does not segment", f"name '{SEGMENTER}', or leave it out")
        return root
    if workspace.registry.champion() is not None:
        root = find_package(workspace, CHAMPION)
        if read_package(root).segments:
            return root
    return find_package(workspace, SEGMENTER)


def _is_name(named: str) -> bool:
    """Whether it can be asked of the registry, whose filter takes it in quotes."""
    return re.fullmatch(r"[\w.-]+", named) is not None
