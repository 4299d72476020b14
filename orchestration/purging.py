"""Erasing a picture on request: from data, caches, quarantine and remotes; and which models saw it.

What is to be erased is written down first, as digests, so that a purge that is cut short is finished by doing it again.
The note stays, with the name and the reason: it holds no picture.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter

from contracts.batches import (
    KINDS,
    Article,
    CatalogueBatch,
    Kind,
    Photo,
    StreetBatch,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file, write_json
from contracts.images import UnreadableImage
from contracts.model_package import PACKAGE_FILE, read_package
from orchestration import dvc_data
from orchestration.expectations.fact_table import FactTable
from orchestration.expectations.known import TABLES
from orchestration.expectations.picture_facts import file_in
from orchestration.expectations.verdict import CONTACT_SHEET
from orchestration.features import forget as forget_features
from orchestration.home import Home
from orchestration.intake import alone, now
from orchestration.places import Places
from orchestration.resources import Workspace
from orchestration.services import without_password
from orchestration.sources.pictures import safe_name

_STORE = re.compile(r"(plain|segmented|masked)-(\d+)x(\d+)\.records")


@dataclass(frozen=True)
class Purge:
    """What was erased: of which id, by whom and why; the digests of its files; where they lay; the models that saw it.

    `copies` are files with the same bytes that no row of it named; `models` were trained from data that held a file of
    it (of whichever side); `unreached` is what is left to do by hand.
    """

    kind: Kind
    key: str
    who: str
    reason: str
    when: str
    sha256: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    done: bool = False


@dataclass
class _Found:
    """A batch that names the id, and its files there. `root` need not end in the batch's `name`."""

    kind: Kind
    name: str
    root: Path
    files: list[Path] = field(default_factory=list)


def purge(workspace: Workspace, key: str, who: str, reason: str) -> Purge:
    """Erase the photo or article `key` with its pictures and masks, everywhere within reach.

    `street/ID` is the photo of that id only, `catalogue/ID` the article. Raises ThreadlineError when nothing of that id
    is there, when both are and none is chosen, or when name or reason are missing.
    """
    if not who.strip() or not reason.strip():
        raise ThreadlineError("a purge needs a name and a reason", "give --who and --reason")
    places = workspace.places
    kind, key, found, unreadable = _chosen(places, key)
    note = _note(places, kind, key)
    before = _read(note)
    files = [path for one in found for path in one.files]
    purged = Purge(
        kind,
        key,
        who,
        reason,
        now(),
        sha256=_union(before.sha256 if before else (), map(sha256_of_file, files)),
        md5=_union(before.md5 if before else (), map(_md5, files)),
        batches=_union(before.batches if before else (), (_label(places, one.root) for one in found)),
    )
    purged = replace(purged, models=_models_that_saw(workspace, purged.md5))
    write_json(note, asdict(purged))
    with alone(places):
        copies, others = _copies(places, purged, files)
        for path in copies:
            path.unlink(missing_ok=True)
    purged = replace(purged, copies=tuple(_label(places, path) for path in copies))
    for one in found:
        with alone(places):
            _remove_rows(one, key)
            if one.root.is_relative_to(places.data):
                dvc_data.add_batch(places.root, one.kind, one.name)
        (places.report(one.kind, one.name) / CONTACT_SHEET).unlink(missing_ok=True)
    still_named = {*purged.md5} & {*dvc_data.manifest(places.root).files.values()}
    unreached = [f"a batch that cannot be read: {label}" for label in unreadable]
    unreached += [f"the same file under another id: md5 {md5}" for md5 in sorted(still_named)]
    unreached += [f"the same file, which may be of another id: {_label(places, path)}" for path in others]
    unreached += dvc_data.erase(places.root, {*purged.md5} - still_named)
    _forget(workspace, purged.sha256)
    unreached += [*_sheets_in_mlflow(workspace.home), *_examples_in_dagster(workspace.home)]
    purged = replace(purged, unreached=tuple(unreached), done=True)
    write_json(note, asdict(purged))
    return purged


def _chosen(places: Places, given: str) -> tuple[Kind, str, list[_Found], list[str]]:
    """Which photo or article is meant, as kind and id, and what `_find` has of it."""
    kinds = [kind for kind in KINDS if given.startswith(f"{kind}/")] or [*KINDS]
    key = given if len(kinds) > 1 else given.removeprefix(f"{kinds[0]}/")
    there: dict[Kind, list[_Found]] = {}
    unreadable = []
    for kind in kinds:
        before = _read(_note(places, kind, key))
        started = before if before and not before.done else None
        found, unread = _find(places, kind, key, started)
        unreadable += unread
        if found or started:
            there[kind] = found
    if not there:
        not_read = f" (not read: {', '.join(unreadable)})" if unreadable else ""
        raise ThreadlineError(f"there is no photo or article '{given}'{not_read}", "give the id as the batch names it")
    if len(there) > 1:
        raise ThreadlineError(
            f"'{key}' is both a photo and an article", f"say which: {' or '.join(f'{kind}/{key}' for kind in there)}"
        )
    ((kind, found),) = there.items()
    return kind, key, found, unreadable


def _note(places: Places, kind: Kind, key: str) -> Path:
    return places.home / "purged" / f"{kind}-{safe_name(key)}.json"


def _sheets_in_mlflow(home: Home) -> list[str]:
    """The artifacts of trainings that may show any picture."""
    if home.artifacts is None or "://" in home.artifacts:
        return [
            f"sheets that may show it, among the PNG files of {home.artifacts or without_password(home.tracking_uri)}"
        ]
    return [f"a sheet that may show it: {path}" for path in sorted(Path(home.artifacts).rglob("*.png"))]


def _examples_in_dagster(home: Home) -> list[str]:
    """The storage of Dagster's events: `masks` shows photos inside of them."""
    url = home.services.dagster_url
    if url is None and not home.dagster.is_dir():
        return []
    return [f"an example that may show it, in Dagster's event log: {without_password(url) if url else home.dagster}"]


def _find(places: Places, kind: Kind, key: str, started: Purge | None) -> tuple[list[_Found], list[str]]:
    """Every batch of the kind, wherever it lies, that names the id, or named it when `started` was cut short.

    Also the names of those that cannot be read. Raises ThreadlineError for one of them in `data/`.
    """
    found, unreadable = [], []
    for name, root in _batches(places, kind):
        try:
            batch = _rows_at(kind, root)
        except ThreadlineError:
            if root.is_relative_to(places.data):
                raise
            unreadable.append(_label(places, root))
            continue
        files = _files_only_of(batch, key)
        if started and _label(places, root) in started.batches:
            found.append(_Found(kind, name, root, [*files, *_left_by(started, batch)]))
        elif any(_id(row) == key for row in _rows(batch)):
            found.append(_Found(kind, name, root, files))
    return found, unreadable


def _batches(places: Places, kind: Kind) -> Iterator[tuple[str, Path]]:
    """Every batch of the kind: its name and where it lies."""
    folders = [places.data / kind, places.quarantine / kind, places.incoming / kind]
    roots = [(path.name, path) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    roots += [(path.parent.name, path) for path in sorted((places.rejected / kind).glob("*/batch"))]
    yield from ((name, root) for name, root in roots if (root / TABLES[kind][0]).is_file())


def _rows_at(kind: Kind, root: Path) -> CatalogueBatch | StreetBatch:
    return read_catalogue_batch(root) if kind == "catalogue" else read_street_batch(root)


def _copies(places: Places, purged: Purge, files: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files outside `data/` with the bytes of one of `files`: those to erase, and those that may be of another id.

    The latter are named by another row, or lie in a batch that cannot be read. Only files of a fitting size are read.
    """
    sizes = {path.stat().st_size for path in files} - {0}
    same = []
    for place in (places.quarantine, places.incoming, places.rejected, places.intake):
        for folder, _, names in os.walk(place):
            for path in (Path(folder, name) for name in sorted(names)):
                if not path.is_symlink() and path not in files and path.stat().st_size in sizes:
                    same += [path] if sha256_of_file(path) in purged.sha256 else []
    others = _of_others(places, purged, same)
    return [path for path in same if path not in others], [path for path in same if path in others]


def _of_others(places: Places, purged: Purge, files: list[Path]) -> set[Path]:
    """Those of `files` that a row of another photo or article names, or that lie in a batch that cannot be read."""
    others = set()
    for kind in KINDS:
        for _, root in _batches(places, kind):
            inside = {path for path in files if path.is_relative_to(root)}
            if not inside:
                continue
            try:
                rows = _rows(_rows_at(kind, root))
            except ThreadlineError:
                others |= inside
                continue
            of_others = (row for row in rows if (kind, _id(row)) != (purged.kind, purged.key))
            others |= inside & {root / path for row in of_others for path in _named(row)}
    return others


def _left_by(started: Purge, batch: CatalogueBatch | StreetBatch) -> list[Path]:
    """The files to erase that no row of the batch names any more: the rows go first."""
    named = {batch.root / path for row in _rows(batch) for path in _named(row)}
    unnamed = (path for path in batch.root.rglob("*") if path.is_file() and not path.is_symlink() and path not in named)
    return [path for path in sorted(unnamed) if sha256_of_file(path) in started.sha256]


def _rows(batch: CatalogueBatch | StreetBatch) -> tuple[Article | Photo, ...]:
    return batch.articles if isinstance(batch, CatalogueBatch) else batch.photos


def _id(row: Article | Photo) -> str:
    return row.article_id if isinstance(row, Article) else row.photo_id


def _named(row: Article | Photo) -> tuple[str, ...]:
    return row.images if isinstance(row, Article) else tuple(path for path in (row.image, row.mask) if path)


def _files_only_of(batch: CatalogueBatch | StreetBatch, key: str) -> list[Path]:
    """The files of the id in a batch that no other row names."""
    others = {path for row in _rows(batch) if _id(row) != key for path in _named(row)}
    files = []
    for relative in dict.fromkeys(path for row in _rows(batch) if _id(row) == key for path in _named(row)):
        try:
            path = file_in(batch.root, relative)
        except UnreadableImage:
            continue  # there is nothing to erase
        if relative not in others:
            files.append(path)
    return files


def _remove_rows(found: _Found, key: str) -> None:
    if found.kind == "catalogue":
        articles = read_catalogue_batch(found.root).articles
        write_catalogue_batch(found.root, [one for one in articles if one.article_id != key])
    else:
        batch = read_street_batch(found.root)
        pairs = [one for one in batch.pairs if one.photo_id != key]
        write_street_batch(found.root, [one for one in batch.photos if one.photo_id != key], pairs)
    for path in found.files:
        path.unlink(missing_ok=True)


def _models_that_saw(workspace: Workspace, md5s: tuple[str, ...]) -> tuple[str, ...]:
    """The packages whose data version held one of the files, and the versions of the serving model they became."""
    versions = {one.digest: one.version for one in workspace.registry.versions()}
    saw = []
    for path in sorted((workspace.home.root / "packages").glob(f"*/{PACKAGE_FILE}")):
        package = read_package(path.parent)
        try:
            held = {*dvc_data.manifest(workspace.root, package.provenance.data_version).files.values()}
        except ThreadlineError:
            saw.append(f"{package.method} {package.digest[:16]} (its data is not here: nobody can say)")
            continue
        if held & {*md5s}:
            version = f", version {versions[package.digest]}" if package.digest in versions else ""
            saw.append(f"{package.method} {package.digest[:16]}{version}")
    return tuple(saw)


def _forget(workspace: Workspace, digests: tuple[str, ...]) -> None:
    """Erase what is derived from the pictures: records of training size, masks, features, facts, sheets."""
    home = workspace.home
    table = FactTable(workspace.places.home)
    for path in home.pictures.rglob("*.records"):
        _forget_records(path, digests)
    for digest in digests:
        table.forget(digest)
        for mask in (home.root / "masks").glob(f"*/{digest[:2]}/{digest}.png"):
            mask.unlink()
    for store in (home.root / "features").glob("*"):
        forget_features(store, digests)
    for sheet in home.report.rglob("*.png"):
        sheet.unlink()


def _forget_records(path: Path, digests: tuple[str, ...]) -> None:
    from training.pictures import Kind as StoreKind
    from training.pictures import PictureStore

    if (name := _STORE.fullmatch(path.name)) is not None:
        size = (int(name[2]), int(name[3]))
        store = PictureStore(path.parent, size, cast("StoreKind", name[1]))
        for digest in digests:
            store.forget(digest)


def _read(note: Path) -> Purge | None:
    if not note.is_file():
        return None
    return TypeAdapter(Purge).validate_json(note.read_bytes())


def _union(before: tuple[str, ...], found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*before, *found]))


def _label(places: Places, root: Path) -> str:
    return root.relative_to(places.root).as_posix()


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
