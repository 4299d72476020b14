"""DVC: the version of `data/`. Offline, in this process, without telemetry.

`data/` is one tracked directory. `data.dvc` names its manifest by md5, and the manifest (a JSON file in DVC's cache)
lists every file with its md5: what is in the data can be told without looking at a single file of it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from contracts.batches import ARTICLES, KINDS, PAIRS, PHOTOS, Kind
from contracts.errors import ThreadlineError
from contracts.files import digest_of, write_text
from contracts.ledger import LEDGER
from contracts.quiet import nothing_phones_home

DATA, DATA_DVC = "data", "data.dvc"
REMOTE = "threadline"
"""The name of the remote that the environment names."""

BatchKey = tuple[Kind, str]
"""(kind, name) of a batch."""


@dataclass(frozen=True)
class Manifest:
    """What DVC knows of `data/`: the md5 of the whole, and of each file by its path relative to `data/`."""

    md5: str
    files: dict[str, str]


def init(workspace: Path) -> None:
    """Make `workspace` a DVC repository, inside git or not; one that is there already is only configured.

    DVC's own telemetry and update check are off, and it never stages anything in git. Files are copied (or reflinked)
    between the cache and `data/`, so that editing one never damages the cache.
    """
    from dvc.repo import Repo  # type: ignore[import-untyped]

    if not (workspace / ".dvc").is_dir():
        in_git = _is_in_git(workspace)
        at_root = (workspace / ".git").exists()
        with _plainly("be initialised"):
            Repo.init(str(workspace), no_scm=not in_git, subdir=in_git and not at_root).close()
    with _repository(workspace) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, autostage=False, check_update=False)
        config["cache"].setdefault("type", "reflink,copy")


def cache(workspace: Path) -> Path:
    """The directory of DVC's cache, which holds every data version that was not collected."""
    with _repository(workspace) as repo:
        return Path(repo.cache.local.path).parent.parent


def settle(workspace: Path, place: Path) -> None:
    """Tell DVC, for a `workspace` that is going to lie at `place`, whether that is in a git repository.

    In its local configuration, which overrides what was true where the workspace was made.
    """
    from dvc.config import Config  # type: ignore[import-untyped]

    with Config(str(workspace / ".dvc")).edit("local") as config:
        config["core"]["no_scm"] = not _is_in_git(place)


def use_remote(workspace: Path, url: str) -> None:
    """Make `url` the default remote of this checkout, in DVC's local configuration, which no repository shares."""
    local = workspace / ".dvc" / "config.local"
    if local.is_file() and f"    url = {url}\n" in local.read_text(encoding="utf-8"):
        return
    with _repository(workspace) as repo, repo.config.edit("local") as config:
        config["remote"][REMOTE] = {"url": url}
        config["core"]["remote"] = REMOTE


def add_batch(workspace: Path, kind: Kind, batch: str) -> None:
    """Add `data/<kind>/<batch>` and the ledger to the data version; other files are neither hashed nor looked at.

    Other batches stay in the version even where they are not checked out. Adding again what is there changes nothing.
    """
    if not (workspace / DATA_DVC).exists():
        return add_all(workspace)
    targets = [workspace / DATA / kind / batch, workspace / DATA / LEDGER]
    with _repository(workspace) as repo, _plainly("add the batch"):
        repo.add([str(target) for target in targets if target.exists()])
    return None


def add_all(workspace: Path) -> None:
    """Make `data/` as it is now the data version: what is gone from it goes. Unchanged files are not hashed again."""
    with _repository(workspace) as repo, _plainly("add the data"):
        repo.add([str(workspace / DATA)])


def pull(workspace: Path, remote: str | None = None) -> None:
    """Fetch the data version that `data.dvc` names, from `remote` or the default one, and check it out."""
    with _repository(workspace) as repo, _plainly("pull the data"):
        repo.pull(targets=[str(workspace / DATA_DVC)], remote=remote)


def push(workspace: Path, remote: str | None = None) -> None:
    """Send the data version to `remote` or the default one."""
    with _repository(workspace) as repo, _plainly("push the data"):
        repo.push(targets=[str(workspace / DATA_DVC)], remote=remote)


def restore(workspace: Path, md5: str, into: Path) -> None:
    """Make `into` a DVC repository with the data version `md5` of `workspace` checked out.

    They share one cache, so that nothing is stored twice; what is not in it is fetched from the remotes of
    `workspace`. Raises ThreadlineError when the data is nowhere to be had.
    """
    into.mkdir(parents=True, exist_ok=True)
    init(into)
    shared = str(cache(workspace))
    with _repository(workspace) as repo:
        remotes = {name: dict(remote) for name, remote in repo.config["remote"].items()}
    with _repository(into) as repo, repo.config.edit("local") as config:
        config["cache"]["dir"] = shared
        config["remote"] = remotes
    outs = [{"md5": md5, "hash": "md5", "path": DATA}]
    write_text(into / DATA_DVC, yaml.safe_dump({"outs": outs}))
    with _repository(into) as repo, _plainly(f"restore the data version {md5}"):
        if not Path(repo.cache.local.oid_to_path(md5)).exists():
            repo.fetch(targets=[str(into / DATA_DVC)])
        repo.checkout(targets=[str(into / DATA_DVC)])


def data_version(workspace: Path) -> str:
    """The md5 of the data, from `data.dvc` alone; empty where nothing was added yet. Raises ThreadlineError."""
    path = workspace / DATA_DVC
    if not path.exists():
        return ""
    try:
        (out,) = yaml.safe_load(path.read_text(encoding="utf-8"))["outs"]
        md5 = out["md5"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ThreadlineError(
            f"{path} does not name one directory by md5", "restore it, or run: dvc add data"
        ) from error
    return str(md5)


def manifest(workspace: Path, md5: str | None = None) -> Manifest:
    """The manifest that `data.dvc` names, or the one with this md5; empty where nothing was added yet.

    Looks at no data file. Raises ThreadlineError when the manifest is not in DVC's cache.
    """
    md5 = data_version(workspace) if md5 is None else md5
    if not md5:
        return Manifest("", {})
    with _repository(workspace) as repo:
        path = Path(repo.cache.local.oid_to_path(md5))
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ThreadlineError(f"the manifest {md5} of {workspace / DATA} is not here", "run: dvc pull") from error
    return Manifest(md5, {entry["relpath"]: entry["md5"] for entry in entries})


def require_tables(workspace: Path, kind: Kind, batches: Iterable[str]) -> None:
    """Raise ThreadlineError where a table of one of the `batches` is not the one that the data version names.

    `data.dvc` and `data/` are apart between `git checkout` and `dvc checkout`, and between an edit and `dvc add`.
    """
    files = manifest(workspace).files
    for batch in batches:
        for table in (ARTICLES, PHOTOS, PAIRS):
            name = f"{kind}/{batch}/{table}"
            if name in files and _md5(workspace / DATA / name) != files[name]:
                problem = f"{workspace / DATA / name} is not what {DATA_DVC} names"
                raise ThreadlineError(problem, "run `dvc checkout`, or after an edit of your own `dvc add data`")


def _md5(path: Path) -> str | None:
    """None where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError:
        return None


def batch_digests(files: Mapping[str, str]) -> dict[BatchKey, str]:
    """A digest of each batch from the md5s of a manifest's `files`: equal exactly where all its files are equal."""
    by_batch: dict[BatchKey, list[tuple[str, str]]] = defaultdict(list)
    for path, md5 in sorted(files.items()):
        kind, _, rest = path.partition("/")
        batch, _, name = rest.partition("/")
        for known in KINDS:
            if kind == known and name:
                by_batch[(known, batch)].append((name, md5))
    return {key: digest_of(entries) for key, entries in by_batch.items()}


@lru_cache(maxsize=2)
def batches_of(workspace: Path, md5: str) -> Mapping[BatchKey, str]:
    """The `batch_digests` of the manifest with this md5, which never changes: a process reads it once."""
    return batch_digests(manifest(workspace, md5).files)


def erase(workspace: Path, md5s: Collection[str]) -> list[str]:
    """Delete the files with these md5s from the cache and from every remote, for good; what could not be reached.

    Data versions that held them can no longer be checked out whole.
    """
    unreached = []
    with _repository(workspace) as repo:
        for name in (None, *repo.config["remote"]):
            try:
                store = repo.cache.local if name is None else repo.cloud.get_remote(name=name).odb
                for md5 in md5s:
                    if store.exists(md5):
                        store.delete(md5)
            except Exception as error:  # a remote fails in the ways of its own client
                unreached.append(f"{name or 'the cache'} of DVC ({error})")
    return unreached


def _is_in_git(place: Path) -> bool:
    return any((folder / ".git").exists() for folder in (place.resolve(), *place.resolve().parents))


@contextmanager
def _repository(workspace: Path) -> Iterator[Any]:
    nothing_phones_home()
    from dvc.exceptions import NotDvcRepoError  # type: ignore[import-untyped]
    from dvc.repo import Repo

    try:
        repo = Repo(str(workspace))
    except NotDvcRepoError as error:
        raise ThreadlineError(f"{workspace} has no DVC repository", "make a workspace: threadline init DIR") from error
    with repo:
        yield repo


@contextmanager
def _plainly(what: str) -> Iterator[None]:
    """Turn DVC's errors into ones with a remedy."""
    from dvc.exceptions import DvcException

    try:
        yield
    except sqlite3.Error as error:  # of DVC's own database of file states
        raise ThreadlineError(
            f"DVC could not {what}: its database cannot be written ({error})",
            "see that there is space and leave to write there, then run the same command again",
        ) from error
    except DvcException as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise ThreadlineError(f"DVC could not {what}: {error}{cause}", "see: dvc doctor, dvc status") from error
