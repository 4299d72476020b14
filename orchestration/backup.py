"""A workspace as one file, and back: what was accepted, decided, trained and indexed, each content once.

The file is a TAR without compression (pictures do not shrink): `objects/<sha256>` for each content, then, last, the
manifest that says which path has which. So a file that was cut short has no manifest, and every byte is checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.batches import KINDS
from contracts.errors import ThreadlineError
from contracts.files import new_directory, replacing, sha256_of_file
from orchestration import dvc_data
from orchestration.configuration import CONFIGURATION_FILE
from orchestration.decisions import now
from orchestration.intake import alone as nobody_delivers
from orchestration.locks import alone
from orchestration.moving import move_artifacts
from orchestration.resources import Workspace
from orchestration.runs import lock_of
from orchestration.services import without_password

MANIFEST = "threadline-backup.json"
_OBJECTS = "objects/"
_FORMAT = 1

_PARTS = (CONFIGURATION_FILE, "data.dvc", ".gitignore", ".dvcignore", ".dvc", "data", "incoming", ".threadline")
_LEFT_OUT = (".dvc/tmp", ".threadline/locks", ".threadline/logs", ".threadline/pictures", ".threadline/index/.open")
_WRITTEN_MEANWHILE = (".threadline/queries", "incoming/")
_DELIVERED = tuple(
    f"{place}/{kind}/" for place in ("incoming", ".threadline/quarantine", ".threadline/rejected") for kind in KINDS
)
"""Where a link is one that somebody delivered: it may lead anywhere, and is no part of a batch."""
_REMEDY = "take another backup; this one is damaged, or no backup"


class File(BaseModel):
    """A file of a workspace: its content, and when it was last changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int
    changed_s: float


class Backup(BaseModel):
    """What a backup holds, by paths relative to the workspace; `elsewhere` names what other services keep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    made: str
    data_version: str
    elsewhere: tuple[str, ...]
    directories: tuple[str, ...]
    files: dict[str, File]

    @property
    def bytes(self) -> int:
        """The size of the workspace that it makes."""
        return sum(file.bytes for file in self.files.values())


def write_backup(workspace: Workspace, target: Path) -> tuple[Path, Backup]:
    """Write the workspace to the file `target`, or to a new one in the directory `target`; which, and what it holds.

    What is computed again from the rest (decoded pictures) is left out, and what DVC and `data/` both hold is in it
    once; links in what was delivered are left out. Raises ThreadlineError when the file is there already, something
    works in the workspace, or a file changes while it is saved.
    """
    made = now()
    name = f"{workspace.root.name}-{made[:19].replace(':', '')}.tar"
    path = target / name if target.is_dir() else target
    if path.exists():
        raise ThreadlineError(f"{path} is there already", "choose another name, or a directory")
    with (
        _nobody_works(workspace),
        replacing(path) as temporary,
        tarfile.open(temporary, "w", dereference=True) as archive,
    ):
        added: set[str] = set()
        found = [each for part in _PARTS for each in _below(workspace.root, workspace.root / part)]
        contents = [each for each in found if each.is_file()]
        files = {_name(workspace.root, each): _add(archive, added, workspace.root, each) for each in contents}
        backup = Backup(
            format=_FORMAT,
            made=made,
            data_version=dvc_data.data_version(workspace.root),
            elsewhere=tuple(_kept_elsewhere(workspace)),
            directories=tuple(_name(workspace.root, each) for each in found if each.is_dir()),
            files=files,
        )
        _put(archive, MANIFEST, backup.model_dump_json(indent=1).encode())
    return path, backup


def restore_backup(path: Path, into: Path) -> Backup:
    """Make the workspace of a backup at `into`, which is not there yet or empty; all of it or nothing.

    The paths of MLflow's artifacts become those of the new place, and DVC is told whether it lies in a git repository.
    Raises ThreadlineError when the file is damaged or no backup, or `into` holds something.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ThreadlineError(f"{into} is there already", "restore into a new directory")
    into = into.resolve()
    try:
        with tarfile.open(path, "r:") as archive, new_directory(into) as fresh:
            backup = _manifest(path, archive)
            _check_space(into.parent, backup)
            for directory in backup.directories:
                (fresh / directory).mkdir(parents=True, exist_ok=True)
            _extract(path, archive, backup, fresh)
            move_artifacts(fresh / ".threadline" / "mlflow" / "mlflow.db", into)
            dvc_data.settle(fresh, into)
    except tarfile.TarError as error:
        raise ThreadlineError(f"{path} cannot be read: {error}", _REMEDY) from error
    return backup


@contextmanager
def _nobody_works(workspace: Workspace) -> Iterator[None]:
    """Hold every lock under which the workspace is changed. Raises ThreadlineError when one is taken."""
    with ExitStack() as held:
        held.enter_context(alone(workspace.home.lock(lock_of("command")), "`threadline materialize`"))
        held.enter_context(alone(workspace.home.lock(lock_of("daemon")), "`threadline up`"))
        held.enter_context(nobody_delivers(workspace.places))
        yield


def _below(root: Path, path: Path) -> Iterator[Path]:
    """The path and everything below it, in order, that belongs in a backup."""
    name = _name(root, path)
    if name in _LEFT_OUT or not path.exists() or path.name.endswith(("-wal", "-shm", ".lock")):
        return
    if path.is_symlink() and name.startswith(_DELIVERED):
        return
    yield path
    if path.is_dir():
        for each in sorted(path.iterdir()):
            yield from _below(root, each)


def _add(archive: tarfile.TarFile, added: set[str], root: Path, path: Path) -> File:
    """Put the file's content into the archive unless it was `added` already. Raises ThreadlineError when it changes."""
    changed = ThreadlineError(f"{path} changed while it was saved", "back up again when nothing writes there")
    try:
        with _at_rest(root, path) as still:
            file = File(sha256=sha256_of_file(still), bytes=still.stat().st_size, changed_s=path.stat().st_mtime)
            if file.sha256 not in added and _put_object(archive, file.sha256, still) != file.sha256:
                raise changed
    except FileNotFoundError as error:
        raise changed from error
    added.add(file.sha256)
    return file


def _put_object(archive: tarfile.TarFile, sha256: str, path: Path) -> str:
    """Put a file into the archive under this digest; the digest of what was put there."""
    with path.open("rb") as file:
        info, read = archive.gettarinfo(arcname=f"{_OBJECTS}{sha256}", fileobj=file), _Hashed(file)
        archive.addfile(info, read)
    return read.digest.hexdigest()


class _Hashed:
    """A file that is read once: by who reads it, and into `digest`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, length: int = -1, /) -> bytes:
        block = self._file.read(length)
        self.digest.update(block)
        return block


@contextmanager
def _at_rest(root: Path, path: Path) -> Iterator[Path]:
    """The file, or a copy where the service, or who delivers, may write meanwhile: databases, its log, `incoming/`."""
    database = path.suffix == ".db" and path.open("rb").read(16).startswith(b"SQLite format 3")
    if not database and not _name(root, path).startswith(_WRITTEN_MEANWHILE):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="threadline-backup-") as folder:
        copy = Path(folder) / path.name
        if database:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        else:
            shutil.copyfile(path, copy)
        yield copy


def _kept_elsewhere(workspace: Workspace) -> Iterator[str]:
    services = workspace.services
    if services.dagster_url:
        yield f"Dagster's storage: {without_password(services.dagster_url)}"
    if services.tracking_uri:
        yield f"MLflow: {without_password(services.tracking_uri)}"
    if services.artifact_root:
        yield f"MLflow's artifacts: {services.artifact_root}"
    if services.derived_root:
        yield f"derived tables, and what people decided about releases: {without_password(services.derived_root)}"
    if services.qdrant_url:
        yield f"the index: {without_password(services.qdrant_url)}"
    cache = dvc_data.cache(workspace.root)
    if not cache.is_relative_to(workspace.root):
        yield f"DVC's cache with earlier data versions: {cache}"


def _manifest(path: Path, archive: tarfile.TarFile) -> Backup:
    try:
        member = archive.extractfile(MANIFEST)
        backup = Backup.model_validate(json.load(member)) if member else None
    except (KeyError, ValueError, ValidationError) as error:
        raise ThreadlineError(f"{path} has no manifest that can be read", _REMEDY) from error
    if backup is None or backup.format != _FORMAT:
        raise ThreadlineError(f"{path} is of a format that is not known here", "use the release that wrote it")
    for name in (*backup.files, *backup.directories):
        parts = PurePosixPath(name).parts
        if not parts or parts[0] not in _PARTS or ".." in parts:
            raise ThreadlineError(f"{path} names a file outside of the workspace: {name}", _REMEDY)
    return backup


def _check_space(place: Path, backup: Backup) -> None:
    free = shutil.disk_usage(next(each for each in (place, *place.parents) if each.exists())).free
    if free < backup.bytes:
        needed = f"{backup.bytes / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB free"
        raise ThreadlineError(f"{place} is too small: {needed}", "free some space, or restore elsewhere")


def _extract(path: Path, archive: tarfile.TarFile, backup: Backup, root: Path) -> None:
    """Write every file of the manifest, its content checked."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for name, file in backup.files.items():
        wanted[file.sha256].append(name)
    for member in archive:
        names = wanted.pop(member.name.removeprefix(_OBJECTS), [])
        if not names or not member.isfile():
            continue
        first = root / names[0]
        if _write(archive, member, first) != member.name.removeprefix(_OBJECTS):
            raise ThreadlineError(f"{path} is damaged: {names[0]} is not what it was", _REMEDY)
        for other in names[1:]:
            shutil.copyfile(first, root / other)
    if wanted:
        missing = next(iter(wanted.values()))[0]
        raise ThreadlineError(f"{path} is damaged: {missing} is missing", _REMEDY)
    for name, file in backup.files.items():
        os.utime(root / name, (file.changed_s, file.changed_s))


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    """Write a member to `target`; the SHA-256 of what was written."""
    digest, source = hashlib.sha256(), archive.extractfile(member)
    assert source is not None
    with target.open("wb") as out:
        while block := source.read(1 << 20):
            digest.update(block)
            out.write(block)
    return digest.hexdigest()


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, BytesIO(content))


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
