"""What only superseded models or code needed: found by what is kept, and taken away. All of it could be made again."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from contracts.files import digest_of
from contracts.model_package import read_package
from orchestration.candidates import read_candidate, read_choice
from orchestration.code_versions import code_version
from orchestration.decisions import read_pin
from orchestration.embedding import EMBEDDING
from orchestration.home import Home
from orchestration.locks import alone
from orchestration.masking import PREDICTION
from orchestration.report import read_report
from orchestration.resources import Workspace
from orchestration.runs import lock_of
from orchestration.trainings import read_outcome
from training.presets import Preset

CHECKPOINTS_S = 7 * 86_400.0
"""After this time without a change nobody is expected to go on with a training; a finished one leaves no checkpoint."""

_SHEETS = re.compile(r".+-([0-9a-f]{8})")


@dataclass(frozen=True)
class Leftover:
    """A directory that nothing needs any more, and its size."""

    path: Path
    bytes: int


def clean(workspace: Workspace, *, dry_run: bool = False) -> list[Leftover]:
    """Remove the features, masks, report's sheets and checkpoints of superseded models; with `dry_run` only find them.

    What belongs to the champion, the pin, the present models and candidates, and to every release whose collection is
    still kept stays. Raises ThreadlineError when something works in the workspace.
    """
    home = workspace.home
    with (
        alone(home.lock(lock_of("command")), "`threadline materialize`"),
        alone(home.lock(lock_of("daemon")), "`threadline up`"),
    ):
        found = [Leftover(path, _size(path)) for path in _superseded(workspace, time.time())]
        if not dry_run:
            for one in found:
                _remove(home, one.path)
    return found


def _superseded(workspace: Workspace, now_s: float) -> Iterator[Path]:
    home, kept = workspace.home, _packages_kept(workspace)
    features = {key[:16] for digest in kept for key in _feature_keys(workspace, digest)}
    yield from _of_others(home.root / "features", features, code_version(EMBEDDING)[:8])
    yield from _of_others(home.root / "masks", {digest[:16] for digest in kept}, code_version(PREDICTION)[:8])
    for path in _folders(home.report):
        named = _SHEETS.fullmatch(path.name)
        if named and named[1] not in {digest[:8] for digest in kept}:
            yield path
    for path in _folders(home.root / "checkpoints"):
        if now_s - max(each.stat().st_mtime for each in (path, *path.rglob("*"))) > CHECKPOINTS_S:
            yield path


def _packages_kept(workspace: Workspace) -> set[str]:
    """The digests of the packages that serve, may serve again at once, or are the present models."""
    home, registry = workspace.home, workspace.registry
    serving, pin, choice = registry.champion(), read_pin(home), read_choice(home)
    collections = {reference.partition("/")[0] for reference in workspace.index.references()}
    models = (field.name for field in fields(Preset))
    found = {
        serving.digest if serving else None,
        pin.digest if pin else None,
        read_candidate(home).digest,
        choice.chosen.digest,
        choice.proposed.digest if choice.proposed else None,
        *(read_outcome(home, name).digest for name in models if home.derived(f"model-{name}").exists()),
        *(one.digest for one in registry.versions() if one.tags.get("collection", "").partition("/")[0] in collections),
    }
    if home.derived("retrieval_report").exists():
        found |= {one.digest for one in read_report(home)}
    return {digest for digest in found if digest}


def _of_others(place: Path, models: set[str], code: str) -> Iterator[Path]:
    """The folders of `place` that are of none of the `models`, or that other code made."""
    for path in _folders(place):
        if path.name.partition("-")[0] not in models or not path.name.endswith(f"-{code}"):
            yield path


def _feature_keys(workspace: Workspace, digest: str) -> Iterator[str]:
    """The digests under which features of a package are kept, as far as the package is to be had."""
    yield digest_of(["photo", digest])
    root = workspace.find(digest)
    if root is not None and "article_encoder" in (package := read_package(root)).files:
        yield package.article_digest()


def _remove(home: Home, path: Path) -> None:
    """Remove a directory. An evaluation goes with its sheets: it draws them when it is made again."""
    if path.parent == home.report:
        for record in list((home.shared / "evaluations").glob(f"{path.name[-8:]}*.json")):
            record.unlink(missing_ok=True)
    shutil.rmtree(path)


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
