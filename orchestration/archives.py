"""A model package as one file, to carry it from one registry to another.

The file is a ZIP archive of exactly what a package is made of, stored and not compressed. What comes from elsewhere is
not trusted: only those names are taken, so that nothing is written outside of the package, sizes are what the file's
own size says, and every digest is checked before the package is registered.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from contracts.errors import ThreadlineError
from contracts.files import new_directory, replacing
from contracts.model_package import (
    PACKAGE_FILE,
    WEIGHTS_FILE,
    Graph,
    ModelPackage,
    graph_path,
    package_files,
    read_package,
)
from contracts.registry import SERVING_MODEL
from orchestration.home import Home

_MEMBERS = frozenset({PACKAGE_FILE, WEIGHTS_FILE, *(graph_path(Path(), graph).name for graph in get_args(Graph))})
_MOST_DESCRIPTION_BYTES = 8 * 2**20
_REMEDY = "fetch the file again from where it was exported, or export it again"


@dataclass(frozen=True)
class Imported:
    """What an archive became: the package, its registered version, and that of the serving model if it can serve."""

    package: ModelPackage
    version: str
    serving_version: str | None


def write_archive(root: Path, path: Path) -> ModelPackage:
    """Write the package at `root` as one file; the package. The same package gives the same bytes.

    Raises ThreadlineError when it is incomplete or was altered.
    """
    package = read_package(root, verify=True)
    members = sorted([root / PACKAGE_FILE, *package_files(root, package)])
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            entry = zipfile.ZipInfo(member.name)  # with ZIP's oldest date
            entry.external_attr = 0o644 << 16
            with member.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
    return package


def read_archive(path: Path, packages: Path) -> Path:
    """Take the package out of the file `path` into `<packages>/<digest>`; that folder. One that is there stays.

    Raises ThreadlineError when the file is no archive of a package, or its content is not what its digests say.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            digest = _described(path, archive).digest
            place = packages / digest
            if not place.exists():
                with new_directory(place) as fresh:
                    _extract(archive, fresh)
                    if read_package(fresh, verify=True).digest != digest:
                        raise ThreadlineError(f"{path} changed while it was read", _REMEDY)
    except FileNotFoundError as error:
        raise ThreadlineError(f"there is no file {path}", "correct the path") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ThreadlineError(f"{path} is no archive of a package: {error}", _REMEDY) from error
    read_package(place, verify=True)
    return place


def import_archive(path: Path, home: Home) -> Imported:
    """Bring the package in the file `path` into the workspace's registry, under the name of its method.

    One that is registered already stays as it is. A package that can serve also becomes a version of the serving model,
    and does not serve by that. Raises ThreadlineError as `read_archive` does.
    """
    from orchestration.tracking import log_training, register_serving

    root = read_archive(path, home.package("any").parent)
    package = read_package(root)
    if package.method == SERVING_MODEL or not re.fullmatch(r"[a-z0-9_]{1,64}", package.method):
        raise ThreadlineError(
            f"the package in {path} names no method that can be registered: '{package.method}'", _REMEDY
        )
    logged = log_training(
        tracking_uri=home.tracking_uri,
        artifact_root=home.artifacts,
        experiment="threadline",
        name=package.method,
        package_root=root,
        params=package.provenance.config,
        curves=[],
        plots=[],
        tags={"imported_from": path.name},
        imported=True,
    )
    serves = package.kind == "matching"
    serving = register_serving(home.tracking_uri, package.method, logged.version) if serves else None
    return Imported(package, logged.version, serving)


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse whatever a package is not made of, what hides its size, and more bytes than the file has."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    strange = sorted({name for name in names if name not in _MEMBERS or names.count(name) > 1})
    if strange:
        raise ThreadlineError(f"{path} holds what is no part of a package: {', '.join(strange)}", _REMEDY)
    if PACKAGE_FILE not in names:
        raise ThreadlineError(f"{path} is no archive of a package: {PACKAGE_FILE} is missing", _REMEDY)
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise ThreadlineError(f"{path} is compressed or encrypted, as no exported package is", _REMEDY)
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ThreadlineError(f"{path} says that it holds more than its own size", _REMEDY)


def _described(path: Path, archive: zipfile.ZipFile) -> ModelPackage:
    """The package by its description alone."""
    if archive.getinfo(PACKAGE_FILE).file_size > _MOST_DESCRIPTION_BYTES:
        raise ThreadlineError(f"{PACKAGE_FILE} in {path} is too large to be one", _REMEDY)
    try:
        return ModelPackage.model_validate(json.loads(archive.read(PACKAGE_FILE)))
    except ValueError as error:
        raise ThreadlineError(f"{PACKAGE_FILE} in {path} is not in the package format: {error}", _REMEDY) from error


def _extract(archive: zipfile.ZipFile, root: Path) -> None:
    for name in archive.namelist():
        with archive.open(name) as source, (root / name).open("wb") as target:
            shutil.copyfileobj(source, target)
