"""Accepting a delivered batch, so that a kill at any point is repaired by doing it again.

The order, and what a kill after each step leaves:

1. the verdict and its report are written (nothing moved: the next attempt starts over); 2. the rows set aside are
written to quarantine in one step (written over by the next attempt); 3. a note with the batch's digest is written,
and the accepted rows are moved to `data/<kind>/<batch>` in one step. The note says that a batch in `data/` that no
ledger row names is an attempt's, which the next one may replace; 4. the ledger row is written: from here on the batch
is accepted, and the next attempt only finishes; 5. `data.dvc` is updated by DVC (again, if need be: adding what is
there changes nothing); 6. the delivered copy is moved out of `incoming/` in one step, what was written into it since it
was looked at is kept in quarantine, and the rest is deleted. As long as it is there, the batch comes up again.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from contracts.batches import Kind, check_batch_name
from contracts.errors import ThreadlineError
from contracts.files import digest_of, new_directory, remove_leftovers, sha256_of_file, write_text
from contracts.ledger import LEDGER, LedgerRow, read_ledger, write_ledger
from orchestration import dvc_data
from orchestration.configuration import CONFIGURATION_FILE, read_configuration
from orchestration.expectations.known import known_data
from orchestration.expectations.lenience import Lenience
from orchestration.expectations.picture_facts import look_at_all
from orchestration.expectations.quarantine import UNNAMED, part_batch
from orchestration.expectations.thresholds import Thresholds
from orchestration.expectations.verdict import Verdict
from orchestration.locks import is_held, waiting_for
from orchestration.places import Places
from orchestration.progress import Reporter
from orchestration.silence import silent

_Account = TypeVar("_Account")

log = logging.getLogger(__name__)


def accept(
    places: Places,
    kind: Kind,
    batch: str,
    who: str,
    progress: Reporter = silent,
    *,
    lenience: Lenience = "none",
    reason: str = "",
) -> Verdict:
    """Reach a verdict on `incoming/<kind>/<batch>` and, unless it is rejected, make the batch data, accepted by `who`.

    The limits are those of `threadline.toml`; `lenience` is what `who` lets stand beyond them, for the `reason` that
    the ledger keeps. A batch that was accepted before with the same bytes changes nothing ("already_accepted"). A
    rejected batch stays where it is. Raises ThreadlineError, and changes nothing, when there is no such batch, or
    another batch of that name.
    """
    with waiting_for(judging_lock(places, kind, check_batch_name(batch))):
        return _judge(places, kind, batch, who, progress, lenience, reason)


def accept_import(
    places: Places,
    kinds: Sequence[Kind],
    batch: str,
    who: str,
    deliver: Callable[[], _Account],
    progress: Reporter = silent,
) -> tuple[_Account, list[Verdict]]:
    """Let an import `deliver` its batches of that name into `incoming/`, one of each of `kinds`, and accept them.

    Returns its account and the verdicts. What an import left there before is replaced, and nobody else decides on
    these deliveries meanwhile. Raises ThreadlineError when a delivery of the name lies there that no import made; or,
    leaving no copy of it, when what is delivered is another batch than the one that was accepted under the name.
    """
    with ExitStack() as held:
        for kind in kinds:
            held.enter_context(waiting_for(judging_lock(places, kind, batch)))
        for kind in kinds:
            held.enter_context(_importing(places, kind, batch))
        account = deliver()
        taken = [kind for kind in kinds if _is_another(places, kind, batch, progress)]
        if taken:
            for kind in kinds:
                _delete(places.delivered(kind, batch))
            raise ThreadlineError(
                f"{taken[0]}/{batch} was accepted before, and what is imported now is not the same",
                f"import it as a later batch, which overrides earlier ones: --batch {_free_name(places, kinds, batch)}",
            )
        return account, [_judge(places, kind, batch, who, progress, "none", "") for kind in kinds]


def accepted_before(places: Places, kinds: Sequence[Kind], batch: str) -> Kind | None:
    """The first of `kinds` of which the ledger and `data/` have a batch of that name."""
    there = (kind for kind in kinds if places.accepted(kind, batch).exists())
    return next((kind for kind in there if _row_of(places, kind, batch) is not None), None)


@contextmanager
def _importing(places: Places, kind: Kind, batch: str) -> Iterator[None]:
    """Note that an import writes the delivery of that name. Raises ThreadlineError when another one is there."""
    delivered, note = places.delivered(kind, batch), import_note(places, kind, batch)
    if delivered.exists() and not note.exists():
        raise ThreadlineError(
            f"{delivered} holds another delivery, which waits for a decision",
            f"name the import's batch with --batch, or first accept or reject {kind}/{batch} (threadline batches)",
        )
    write_text(note, "")
    try:
        yield
    finally:
        if not delivered.exists():
            note.unlink(missing_ok=True)


def _is_another(places: Places, kind: Kind, batch: str, progress: Reporter) -> bool:
    """Whether the delivery is not the batch that has its name; nothing is read where none has."""
    if not places.accepted(kind, batch).exists() and _row_of(places, kind, batch) is None:
        return False
    try:
        _is_accepted(places, kind, batch, digest_of_delivery(places.delivered(kind, batch), progress))
    except ThreadlineError:
        return True
    return False


def _row_of(places: Places, kind: Kind, batch: str) -> LedgerRow | None:
    return next((row for row in read_ledger(places.data) if (row.kind, row.batch) == (kind, batch)), None)


def _free_name(places: Places, kinds: Sequence[Kind], batch: str) -> str:
    """The first of `<batch>-2`, `<batch>-3`, … that no batch has."""
    taken = {row.batch for row in read_ledger(places.data)}
    names = (f"{batch}-{number}" for number in itertools.count(2))
    return next(
        name for name in names if name not in taken and not any(places.delivered(kind, name).exists() for kind in kinds)
    )


def import_note(places: Places, kind: Kind, batch: str) -> Path:
    """The file that says that an import made that delivery; it goes when the delivery does."""
    return places.intake / f"{kind}-{batch}.import"


def judging_lock(places: Places, kind: Kind, batch: str) -> Path:
    """The file whose lock is held by whoever judges that delivery, or takes it away."""
    return places.home / "locks" / f"judging-{kind}-{batch}.lock"


def is_being_judged(places: Places, kind: Kind, batch: str) -> bool:
    """Whether somebody is about to reach a verdict on that delivery."""
    return is_held(judging_lock(places, kind, batch))


def _judge(
    places: Places, kind: Kind, batch: str, who: str, progress: Reporter, lenience: Lenience, reason: str
) -> Verdict:
    delivered = places.delivered(kind, batch)
    if delivered.is_symlink() or not delivered.is_dir():
        raise ThreadlineError(f"there is no batch at {delivered}", "copy the whole batch there")
    before = _state_of(delivered)
    digest = digest_of_delivery(delivered, progress)
    with alone(places):
        if _is_accepted(places, kind, batch, digest):
            _finish(places, kind, batch, before)
            return Verdict(kind, batch, "already_accepted", (), {})
    from orchestration.expectations.validate import validate_batch  # with pandas, which only a verdict needs

    verdict = validate_batch(
        kind,
        delivered,
        known_data(places, kind),
        places.report(kind, batch),
        _thresholds(places),
        progress,
        kept=places.home,
        lenience=lenience,
    )
    if not verdict.accepted:
        return verdict
    with alone(places):
        if _state_of(delivered) != before:
            raise ThreadlineError(f"{delivered} changed while it was looked at", "copy it there whole, then accept it")
        if not _is_accepted(places, kind, batch, digest):
            _move(places, delivered, verdict, digest)
            _enter(places, LedgerRow(0, kind, batch, who, now(), verdict.status, digest, reason))
        _finish(places, kind, batch, before)
    return verdict


def digest_of_delivery(root: Path, progress: Reporter = silent) -> str:
    """A digest of the names and bytes of all files below `root`; links count by where they point."""
    paths = _all_files(root)
    digests = look_at_all(_digest, paths, "reading the delivery", progress)
    return digest_of([(path.relative_to(root).as_posix(), one) for path, one in zip(paths, digests, strict=True)])


def _all_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file())


def _state_of(root: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file below `root`, by its path there: no file is read for it."""
    found = ((path, path.lstat()) for path in _all_files(root))
    return {path.relative_to(root): (status.st_size, status.st_mtime_ns) for path, status in found}


def _thresholds(places: Places) -> Thresholds:
    if (places.root / CONFIGURATION_FILE).exists():
        return read_configuration(places.root).validation
    return Thresholds()


def _is_accepted(places: Places, kind: Kind, batch: str, digest: str) -> bool:
    """Whether the ledger and `data/` have this very batch; one that was taken out can come back.

    Raises ThreadlineError when the name is another batch's.
    """
    other = ThreadlineError(
        f"{places.delivered(kind, batch)} is not the batch of that name that is in {places.data}",
        f"deliver it under another name, such as {_free_name(places, (kind,), batch)} (rename the directory, or import "
        "with --batch): later batches override earlier ones; or turn it away: threadline batches reject "
        f"{kind}/{batch}",
    )
    row = _row_of(places, kind, batch)
    if row is not None:
        if row.digest != digest:
            raise other
        return places.accepted(kind, batch).exists()
    if places.accepted(kind, batch).exists() and not _note(places, kind, batch).exists():
        raise other
    return False


def _move(places: Places, delivered: Path, verdict: Verdict, digest: str) -> None:
    """Steps 2 and 3: quarantine, then the accepted rows to their place in `data/`."""
    name = f"{verdict.kind}-{verdict.batch}"
    sound, failing = places.intake / name, places.intake / f"aside-{name}"
    with new_directory(sound) as kept, new_directory(failing) as aside:
        any_aside = part_batch(delivered, verdict, kept, aside)
    if any_aside:
        put_in_place(failing, places.set_aside(verdict.kind, verdict.batch))
    write_text(_note(places, verdict.kind, verdict.batch), digest)
    put_in_place(sound, places.accepted(verdict.kind, verdict.batch))


def _enter(places: Places, row: LedgerRow) -> None:
    """Step 4: the ledger row, after all others; a batch that comes back keeps the place it had."""
    rows = read_ledger(places.data)
    if any((one.kind, one.batch) == (row.kind, row.batch) for one in rows):
        return
    last = max((one.sequence for one in rows), default=0)
    write_ledger(places.data, [*rows, LedgerRow(**{**vars(row), "sequence": last + 1})])


def _finish(places: Places, kind: Kind, batch: str, before: dict[Path, tuple[int, int]]) -> None:
    """Steps 5 and 6: the data version, and the delivered copy; then what earlier attempts left half-made.

    `before` is the state of the delivery when it was looked at.
    """
    dvc_data.add_batch(places.root, kind, batch)
    places.intake.mkdir(parents=True, exist_ok=True)
    done = places.intake / f"done-{kind}-{batch}"
    put_in_place(places.delivered(kind, batch), done)
    _keep_late(done, before, places.set_aside(kind, batch) / UNNAMED)
    notes = (_note(places, kind, batch), import_note(places, kind, batch))
    for note in (*notes, judging_lock(places, kind, batch)):
        note.unlink(missing_ok=True)
    for path in (places.set_aside(kind, batch), places.report(kind, batch), places.delivered(kind, batch)):
        remove_leftovers(path)
    remove_leftovers(places.data / LEDGER)
    for leftover in places.intake.iterdir():
        if leftover.is_dir():
            try:
                _delete(leftover)
            except OSError as error:
                log.warning("%s cannot be deleted, and is in nobody's way: %s", leftover, error)


def _keep_late(done: Path, before: dict[Path, tuple[int, int]], unnamed: Path) -> None:
    """Move to `unnamed` what was written into the delivered copy `done` since its state was `before`."""
    late = [path for path, state in _state_of(done).items() if before.get(path) != state]
    for path in late:
        target = unnamed / path
        for number in itertools.count(2):
            if not os.path.lexists(target):
                break
            target = unnamed / path.with_name(f"{path.name}.{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(done / path, target)
    if late:
        log.warning("%d files were written while their batch was accepted; they are kept in %s", len(late), unnamed)


def put_in_place(source: Path, target: Path) -> None:
    """Move a directory to `target` in one step, replacing what an earlier attempt left there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        _delete(target)
    _let_move(source)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_directory(target) as copy:
            shutil.copytree(source, copy, dirs_exist_ok=True, symlinks=True)
        _delete(source)


def _delete(folder: Path) -> None:
    """Delete a directory with all that is in it, also where those in it are read-only."""
    _let_move(folder)
    shutil.rmtree(folder)


def _let_move(folder: Path) -> None:
    """Let this user move and delete the directories in `folder`, whatever permissions they were delivered with."""
    _let_write(folder)
    for parent, names, _ in os.walk(folder):
        for name in names:
            _let_write(Path(parent, name))


def _let_write(folder: Path) -> None:
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(PermissionError):  # somebody else's: whether it can be moved, moving it says
            folder.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """Hold the workspace's intake: the ledger and the data version have one writer at a time."""
    places.home.mkdir(parents=True, exist_ok=True)
    with (places.home / "intake.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _note(places: Places, kind: Kind, batch: str) -> Path:
    return places.intake / f"{kind}-{batch}.note"


def _digest(path: Path) -> str:
    return f"link to {path.readlink()}" if path.is_symlink() else sha256_of_file(path)


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
