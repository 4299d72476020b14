"""Accepting a delivered batch, so that a kill at any point is repaired by doing it again.

The order, and what a kill after each step leaves:

1. the verdict and its report are written (nothing moved: the next attempt starts over); 2. the rows set aside are
written to quarantine in one step (written over by the next attempt); 3. a note with the batch's digest is written,
and the accepted rows are moved to `data/<kind>/<batch>` in one step. The note says that a batch in `data/` that no
ledger row names is an attempt's, which the next one may replace; 4. the ledger row is written: from here on the batch
is accepted, and the next attempt only finishes; 5. `data.dvc` is updated by DVC (again, if need be: adding what is
there changes nothing); 6. the delivered copy is moved out of `incoming/` in one step, then deleted. As long as it is
there, the batch comes up again.
"""

from __future__ import annotations

import errno
import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from contracts.batches import ARTICLES, PHOTOS, Kind, check_batch_name
from contracts.errors import ThreadlineError
from contracts.files import digest_of, new_directory, sha256_of_file, write_text
from contracts.ledger import LedgerRow, read_ledger, write_ledger
from orchestration import dvc_data
from orchestration.expectations.frames import KnownData
from orchestration.expectations.picture_facts import look_at_all
from orchestration.expectations.quarantine import part_batch
from orchestration.expectations.thresholds import Thresholds
from orchestration.expectations.validate import validate_batch
from orchestration.expectations.verdict import Verdict
from orchestration.places import Places
from orchestration.progress import Reporter
from orchestration.silence import silent


def accept(
    places: Places,
    kind: Kind,
    batch: str,
    who: str,
    progress: Reporter = silent,
    thresholds: Thresholds | None = None,
) -> Verdict:
    """Reach a verdict on `incoming/<kind>/<batch>` and, unless it is rejected, make the batch data, accepted by `who`.

    A batch that was accepted before with the same bytes changes nothing ("already_accepted"). A rejected batch stays
    where it is. Raises ThreadlineError, and changes nothing, when there is no such batch, or another batch of that
    name.
    """
    delivered = places.delivered(kind, check_batch_name(batch))
    if delivered.is_symlink() or not delivered.is_dir():
        raise ThreadlineError(f"there is no batch at {delivered}", "copy the whole batch there")
    digest = digest_of_delivery(delivered, progress)
    with _alone(places):
        if _is_accepted(places, kind, batch, digest):
            _finish(places, kind, batch)
            return Verdict(kind, batch, "already_accepted", (), {})
    verdict = validate_batch(kind, delivered, known_data(places), places.report(kind, batch), thresholds, progress)
    if not verdict.accepted:
        return verdict
    with _alone(places):
        if digest_of_delivery(delivered) != digest:
            raise ThreadlineError(f"{delivered} changed while it was looked at", "copy it there whole, then accept it")
        if not _is_accepted(places, kind, batch, digest):
            _move(places, delivered, verdict, digest)
            _enter(places, LedgerRow(0, kind, batch, who, _now(), verdict.status, digest))
        _finish(places, kind, batch)
    return verdict


def digest_of_delivery(root: Path, progress: Reporter = silent) -> str:
    """A digest of the names and bytes of all files below `root`; links count by where they point."""
    paths = sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    digests = look_at_all(_digest, paths, "reading the delivery", progress)
    return digest_of([(path.relative_to(root).as_posix(), one) for path, one in zip(paths, digests, strict=True)])


def known_data(places: Places) -> KnownData:
    """The ids of the articles and photos in the batches that the ledger names, as they are now."""
    ids: dict[str, dict[str, bool]] = {"catalogue": {}, "street": {}}
    for row in read_ledger(places.data):
        name, column = (ARTICLES, "article_id") if row.kind == "catalogue" else (PHOTOS, "photo_id")
        path = places.accepted(row.kind, row.batch) / name
        if path.is_file():
            table = pq.ParquetFile(path).read(columns=[column, "op"])
            there = [op != "delete" for op in table.column("op").to_pylist()]
            names = map(str, table.column(column).to_pylist())
            ids[row.kind].update(zip(names, there, strict=True))
    articles, photos = (frozenset(key for key, there in ids[kind].items() if there) for kind in ("catalogue", "street"))
    return KnownData(articles, photos)


def _is_accepted(places: Places, kind: Kind, batch: str, digest: str) -> bool:
    """Whether the ledger and `data/` have this very batch; one that was taken out can come back.

    Raises ThreadlineError when the name is another batch's.
    """
    other = ThreadlineError(
        f"{places.delivered(kind, batch)} is not the batch of that name that is in {places.data}",
        "deliver it under another name; later batches override earlier ones",
    )
    for row in read_ledger(places.data):
        if (row.kind, row.batch) == (kind, batch):
            if row.digest != digest:
                raise other
            return places.accepted(kind, batch).exists()
    if places.accepted(kind, batch).exists() and not _note(places, kind, batch).exists():
        raise other
    return False


def _move(places: Places, delivered: Path, verdict: Verdict, digest: str) -> None:
    """Steps 2 and 3: quarantine, then the accepted rows to their place in `data/`."""
    staged = places.intake / f"{verdict.kind}-{verdict.batch}"
    with new_directory(staged) as kept:
        if verdict.status == "accepted_with_quarantine":
            with new_directory(places.set_aside(verdict.kind, verdict.batch)) as aside:
                part_batch(delivered, verdict, kept, aside)
        else:
            part_batch(delivered, verdict, kept, None)
    write_text(_note(places, verdict.kind, verdict.batch), digest)
    _put_in_place(staged, places.accepted(verdict.kind, verdict.batch))


def _enter(places: Places, row: LedgerRow) -> None:
    """Step 4: the ledger row, after all others; a batch that comes back keeps the place it had."""
    rows = read_ledger(places.data)
    if any((one.kind, one.batch) == (row.kind, row.batch) for one in rows):
        return
    last = max((one.sequence for one in rows), default=0)
    write_ledger(places.data, [*rows, LedgerRow(**{**vars(row), "sequence": last + 1})])


def _finish(places: Places, kind: Kind, batch: str) -> None:
    """Steps 5 and 6: the data version, and the delivered copy; then what earlier attempts left half-made."""
    dvc_data.add_batch(places.root, kind, batch)
    places.intake.mkdir(parents=True, exist_ok=True)
    _put_in_place(places.delivered(kind, batch), places.intake / f"done-{kind}-{batch}")
    _note(places, kind, batch).unlink(missing_ok=True)
    half_made = re.compile(rf"\.{re.escape(batch)}\.[a-z0-9_]{{8}}")
    for folder in (places.set_aside(kind, batch).parent, places.report(kind, batch).parent):
        for leftover in folder.iterdir() if folder.is_dir() else ():
            if half_made.fullmatch(leftover.name):
                shutil.rmtree(leftover)
    for leftover in places.intake.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)


def _put_in_place(source: Path, target: Path) -> None:
    """Move a directory to `target` in one step, replacing what an earlier attempt left there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_directory(target) as copy:
            shutil.copytree(source, copy, dirs_exist_ok=True, symlinks=True)
        shutil.rmtree(source)


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """Hold the workspace's intake: the ledger and the data version have one writer at a time."""
    places.home.mkdir(parents=True, exist_ok=True)
    with (places.home / "intake.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _note(places: Places, kind: Kind, batch: str) -> Path:
    return places.intake / f"{kind}-{batch}.note"


def _digest(path: Path) -> str:
    return f"link to {path.readlink()}" if path.is_symlink() else sha256_of_file(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
