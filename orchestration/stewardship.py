"""What a steward decides about batches: look, let rows back in, turn a batch away. All of it with a name and a reason.

Quarantine is never written to. A row that was set aside counts as settled once a later accepted batch holds its id, be
it released or delivered again; so a release that is cut short is repaired by doing it again.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path

from contracts.batches import (
    ARTICLES,
    KINDS,
    PAIRS,
    PHOTOS,
    CatalogueBatch,
    Kind,
    Pair,
    StreetBatch,
    check_batch_name,
    may_name_batch,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import new_directory, printable, read_table, write_json
from contracts.images import UnreadableImage
from contracts.ledger import LedgerRow, read_ledger
from orchestration.expectations.known import TABLES
from orchestration.expectations.lenience import Lenience
from orchestration.expectations.picture_facts import file_in
from orchestration.expectations.verdict import CONTACT_SHEET, VERDICT, Verdict, read_verdict
from orchestration.intake import accept, digest_of_delivery, import_note, judging_lock, now, put_in_place
from orchestration.locks import waiting_for
from orchestration.places import Places
from orchestration.progress import Reporter
from orchestration.silence import silent

DECISION = "decision.json"

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MOVE_IT = "move it into incoming/catalogue/NAME or incoming/street/NAME"
_RENAME_IT = "rename it: lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit"

WAITS_AGAIN = "accepted; another delivery waits under this name"


@dataclass(frozen=True)
class BatchAccount:
    """A batch: where it stands, the verdict on it, its ledger row, and the ids that are still set aside.

    `state` is "delivered" (no verdict yet), "rejected" (by the verdict; it stays in `incoming/`), "accepted",
    `WAITS_AGAIN` (accepted, and another delivery of that name lies in `incoming/`: it can only be turned away, or be
    given another name) or "turned away" (by a steward). `contact_sheet` is empty where no picture has a problem.
    """

    kind: Kind
    batch: str
    state: str
    verdict: Verdict | None
    ledger: LedgerRow | None
    set_aside: tuple[str, ...]
    contact_sheet: str


def list_batches(places: Places) -> list[BatchAccount]:
    """Every batch there is: accepted ones in the ledger's order, then those turned away, then those delivered."""
    ledger = read_ledger(places.data)
    rows, aside = {(row.kind, row.batch): row for row in ledger}, _ids_set_aside(places, ledger)
    keys = dict.fromkeys([*rows, *_folders(places.rejected), *deliveries(places)])
    return [_account(places, *key, rows.get(key), aside.get(key, ())) for key in keys]


def deliveries(places: Places) -> list[tuple[Kind, str]]:
    """What lies in `incoming/` under a name that a batch may have; articles first."""
    return _folders(places.incoming)


def misplaced(places: Places) -> list[tuple[str, str]]:
    """What lies in `incoming/` and nobody judges, as a path in the workspace, and what to do about each."""
    found = [(path, _MOVE_IT) for path in _shown_in(places.incoming) if path.name not in KINDS]
    for path in (path for kind in KINDS for path in _shown_in(places.incoming / kind)):
        if path.is_symlink():
            found.append((path, "it is a link: copy what it leads to in its place"))
        elif not path.is_dir():
            found.append((path, "it lies in no batch: move it into the directory of its batch"))
        elif not may_name_batch(path.name):
            found.append((path, _RENAME_IT))
    return [(printable(path.relative_to(places.root)), remedy) for path, remedy in found]


def show_batch(places: Places, kind: Kind, batch: str) -> BatchAccount:
    """The account of one batch. Raises ThreadlineError when there is none of that name."""
    check_batch_name(batch)
    row = _ledger_row(places, kind, batch)
    aside = _ids(still_set_aside(places, kind, batch)) if row else ()
    return _account(places, kind, batch, row, tuple(aside))


def _account(places: Places, kind: Kind, batch: str, row: LedgerRow | None, aside: tuple[str, ...]) -> BatchAccount:
    report = places.report(kind, batch)
    verdict = read_verdict(report) if (report / VERDICT).is_file() else None
    waits = places.delivered(kind, batch).is_dir()
    if row is not None:
        state = WAITS_AGAIN if waits else "accepted"
    elif waits:
        state = "rejected" if verdict is not None and not verdict.accepted else "delivered"
    elif (places.rejected / kind / batch).is_dir():
        state = "turned away"
    else:
        raise ThreadlineError(f"there is no batch {kind}/{batch}", "see: threadline batches list")
    sheet = report / CONTACT_SHEET
    return BatchAccount(kind, batch, state, verdict, row, aside, str(sheet) if sheet.is_file() else "")


def still_set_aside(places: Places, kind: Kind, batch: str) -> CatalogueBatch | StreetBatch:
    """The rows of an accepted batch that lie in quarantine, less those whose id a later batch holds."""
    rows = _read(kind, places.set_aside(kind, batch))
    since = list(dropwhile(lambda one: (one.kind, one.batch) != (kind, batch), read_ledger(places.data)))
    left = set(_ids_set_aside(places, since).get((kind, batch), ()))
    if isinstance(rows, CatalogueBatch):
        return replace(rows, articles=tuple(one for one in rows.articles if one.article_id in left))
    photos = tuple(one for one in rows.photos if one.photo_id in left)
    return replace(rows, photos=photos, pairs=tuple(one for one in rows.pairs if _pair_id(one) in left))


def _ids_set_aside(places: Places, ledger: Sequence[LedgerRow]) -> dict[tuple[Kind, str], tuple[str, ...]]:
    """The ids that are still set aside, by batch of `ledger` (all, or the latest); every table is read once."""
    aside = {(row.kind, row.batch): _ids(_read(row.kind, places.set_aside(row.kind, row.batch))) for row in ledger}
    wanted = set().union(*aside.values())
    settled: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
    left = {}
    for row in reversed(ledger):
        key = row.kind, row.batch
        left[key] = tuple(one for one in aside[key] if one not in settled[row.kind])
        if wanted:
            settled[row.kind] |= wanted.intersection(_accepted_ids(places, row))
    return left


def _accepted_ids(places: Places, row: LedgerRow) -> list[str]:
    """As `_ids` of an accepted batch, of which only the columns of ids are read."""
    root = places.accepted(row.kind, row.batch)
    if row.kind == "catalogue":
        return _keys(root / ARTICLES, "article_id")
    return [*_keys(root / PHOTOS, "photo_id"), *_keys(root / PAIRS, "photo_id", "article_id")]


def _keys(path: Path, *columns: str) -> list[str]:
    if not path.is_file():
        return []
    table = read_table(path, list(columns))
    cells = [table.column(column).to_pylist() for column in columns]
    return [" / ".join(map(str, row)) for row in zip(*cells, strict=True)]


def accept_delivered(
    places: Places, kind: Kind, batch: str, who: str, reason: str, progress: Reporter = silent
) -> Verdict:
    """Judge a delivered batch and, unless it is rejected, accept it. With a reason, whatever the share that fails.

    Raises ThreadlineError as `orchestration.intake.accept` does.
    """
    lenience: Lenience = "any_share" if reason else "none"
    return accept(places, kind, batch, who, progress, lenience=lenience, reason=reason)


def release_rows(
    places: Places,
    kind: Kind,
    batch: str,
    who: str,
    reason: str,
    ids: Collection[str] = (),
    progress: Reporter = silent,
) -> Verdict:
    """Accept rows that were set aside, as the batch `<batch>-released-N`; all of them, or those of `ids`.

    The pairs of a photo go with it. Matters of taste (size, blankness, a file that is there twice) pass. Raises
    ThreadlineError, and changes nothing, when there are no such rows, or a row has what nothing downstream could use.
    """
    _named(who, reason)
    if _ledger_row(places, kind, batch) is None:
        raise ThreadlineError(f"{kind}/{batch} was not accepted", "accept it first: threadline batches accept")
    rows = _chosen(still_set_aside(places, kind, batch), ids)
    name = _next_name(places, kind, batch)
    delivered = places.delivered(kind, name)
    with new_directory(delivered) as into:
        _copy(rows, into)
    verdict = accept(places, kind, name, who, progress, lenience="taste", reason=reason)
    if not verdict.accepted:
        shutil.rmtree(delivered)  # a copy: the rows are still in quarantine
        wrong = "; ".join(f"{one.id}: {one.reason}" for one in verdict.rows if not one.warning)
        raise ThreadlineError(
            f"{kind}/{batch}: these rows cannot be released: {wrong}",
            "release the others with --id, deliver these anew",
        )
    return verdict


def turn_away(places: Places, kind: Kind, batch: str, who: str, reason: str) -> Path:
    """Move a delivered batch out of `incoming/`, with the decision; where it went. Nothing of it is deleted.

    Raises ThreadlineError when it is not delivered, or was accepted already.
    """
    _named(who, reason)
    delivered = places.delivered(kind, check_batch_name(batch))
    with waiting_for(judging_lock(places, kind, batch)):
        if not delivered.is_dir() or delivered.is_symlink():
            raise ThreadlineError(f"there is no batch at {delivered}", "see: threadline batches list")
        row = _ledger_row(places, kind, batch)
        if row and places.accepted(kind, batch).exists() and row.digest == digest_of_delivery(delivered):
            raise ThreadlineError(
                f"{kind}/{batch} was accepted before", f"finish that: threadline batches accept {kind}/{batch}"
            )
        decision = places.rejected / kind / batch
        if (decision / "batch").exists():
            raise ThreadlineError(f"a batch of that name was turned away before: {decision}", "move that one elsewhere")
        write_json(decision / DECISION, {"who": who, "reason": reason, "when": now()})
        put_in_place(delivered, decision / "batch")
        import_note(places, kind, batch).unlink(missing_ok=True)
    return decision


def corrections(verdict: Verdict) -> str:
    """What to correct, as CSV: one line a problem, rows counted from 1 as in a table without its header.

    It is made to be opened in a spreadsheet: it begins with the mark by which one knows UTF-8, and what would be taken
    for a formula stands after an apostrophe.
    """
    text = io.StringIO()
    text.write("\ufeff")
    writer = csv.writer(text)
    writer.writerow(["batch", "table", "row", "id", "image", "severity", "reason"])
    for one in verdict.rows:
        severity = "warning" if one.warning else "problem"
        row = str(one.row + 1) if one.row >= 0 else ""
        cells = [f"{verdict.kind}/{verdict.batch}", one.table, row, one.id, one.image, severity, one.reason]
        writer.writerow([_no_formula(cell) for cell in cells])
    return text.getvalue()


def _no_formula(cell: str) -> str:
    """The cell such that no spreadsheet calculates it; a plain number stays."""
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell


def _folders(place: Path) -> list[tuple[Kind, str]]:
    return [(kind, path.name) for kind in KINDS for path in _inside(place / kind) if may_name_batch(path.name)]


def _inside(folder: Path) -> list[Path]:
    """The directories in `folder` but for links and hidden ones, which are still being copied."""
    return [path for path in _shown_in(folder) if path.is_dir() and not path.is_symlink()]


def _shown_in(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if not path.name.startswith(".")]


def _named(who: str, reason: str) -> None:
    if not who.strip() or not reason.strip():
        raise ThreadlineError("a steward's decision needs a name and a reason", "give --who and --reason")


def _ledger_row(places: Places, kind: Kind, batch: str) -> LedgerRow | None:
    return next((row for row in read_ledger(places.data) if (row.kind, row.batch) == (kind, batch)), None)


def _read(kind: Kind, root: Path) -> CatalogueBatch | StreetBatch:
    """The batch at `root`; one without rows where it is not there."""
    if kind == "catalogue":
        return read_catalogue_batch(root) if (root / TABLES[kind][0]).is_file() else CatalogueBatch(root, ())
    return read_street_batch(root) if (root / TABLES[kind][0]).is_file() else StreetBatch(root, (), ())


def _pair_id(pair: Pair) -> str:
    return f"{pair.photo_id} / {pair.article_id}"


def _ids(batch: CatalogueBatch | StreetBatch) -> list[str]:
    if isinstance(batch, CatalogueBatch):
        return [one.article_id for one in batch.articles]
    return [*(one.photo_id for one in batch.photos), *map(_pair_id, batch.pairs)]


def _chosen(rows: CatalogueBatch | StreetBatch, ids: Collection[str]) -> CatalogueBatch | StreetBatch:
    """The rows of `ids`, or all. Raises ThreadlineError when an id is not among them, or there are none."""
    there = _ids(rows)
    missing = [one for one in ids if one not in there]
    if missing:
        raise ThreadlineError(f"'{missing[0]}' is not set aside", f"these are: {', '.join(there[:20]) or 'none'}")
    if not there:
        raise ThreadlineError("no rows are set aside", "see: threadline batches list")
    if not ids:
        return rows
    if isinstance(rows, CatalogueBatch):
        return replace(rows, articles=tuple(one for one in rows.articles if one.article_id in ids))
    pairs = tuple(one for one in rows.pairs if one.photo_id in ids or _pair_id(one) in ids)
    return replace(rows, photos=tuple(one for one in rows.photos if one.photo_id in ids), pairs=pairs)


def _copy(rows: CatalogueBatch | StreetBatch, into: Path) -> None:
    """Write the rows and copies of their files into the directory `into`; a file that cannot be had is left out."""
    if isinstance(rows, CatalogueBatch):
        write_catalogue_batch(into, rows.articles)
        paths = [image for one in rows.articles for image in one.images]
    else:
        write_street_batch(into, rows.photos, rows.pairs)
        paths = [path for one in rows.photos for path in (one.image, one.mask) if path]
    for path in paths:
        try:
            source = file_in(rows.root, path)
        except UnreadableImage:
            continue  # the verdict on the release says so
        target = into / source.relative_to(rows.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _next_name(places: Places, kind: Kind, batch: str) -> str:
    taken = {row.batch for row in read_ledger(places.data) if row.kind == kind}
    number = 1
    while f"{batch}-released-{number}" in taken:
        number += 1
    return f"{batch}-released-{number}"
