"""The steward's decisions: what is shown, let in after all, and turned away; with a name and a reason."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from contracts.batches import (
    Kind,
    Pair,
    Photo,
    read_catalogue_batch,
    read_street_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import sha256_of_file
from contracts.ledger import LedgerRow, read_ledger, write_ledger
from orchestration import dvc_data, stewardship
from orchestration.cli.main import app
from orchestration.expectations.verdict import RowProblem, Verdict
from orchestration.intake import accept
from orchestration.places import Places
from orchestration.stewardship import WAITS_AGAIN, corrections, list_batches, release_rows, show_batch, turn_away
from tests.orchestration.messy import deliver_messy_street, deliver_spring

CONFIGURATION = "[validation]\nquarantine_share = 0.3\n"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A workspace with the batch spring accepted, but for a blank picture (a0) and a text file (a1)."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    root.mkdir()
    dvc_data.init(root)
    (root / "threadline.toml").write_text(CONFIGURATION)
    made = Places(root)
    delivered = made.delivered("catalogue", "spring")
    deliver_spring(delivered)
    Image.new("RGB", (90, 120), (250, 250, 250)).save(delivered / "images" / "a0.jpg")
    (delivered / "images" / "a1.jpg").write_text("<html>")
    rows = list(read_catalogue_batch(delivered).articles)
    for place in (0, 1):
        rows[place] = replace(rows[place], sha256=(sha256_of_file(delivered / rows[place].images[0]),))
    write_catalogue_batch(delivered, rows)
    accept(made, "catalogue", "spring", "ann")
    return made


def aside(places: Places, kind: Kind = "catalogue", batch: str = "spring") -> list[str]:
    return list(show_batch(places, kind, batch).set_aside)


def test_a_matter_of_taste_can_be_released_with_name_and_reason(places: Places) -> None:
    assert aside(places) == ["a0", "a1"]
    verdict = release_rows(places, "catalogue", "spring", "bob", "it is a white shirt", ["a0"])
    assert (verdict.batch, verdict.status) == ("spring-released-1", "accepted")
    row = read_ledger(places.data)[-1]
    assert (row.sequence, row.batch, row.who, row.reason) == (2, "spring-released-1", "bob", "it is a white shirt")
    released = read_catalogue_batch(places.accepted("catalogue", "spring-released-1"))
    assert [one.article_id for one in released.articles] == ["a0"]
    assert sha256_of_file(released.root / released.articles[0].images[0]) == released.articles[0].sha256[0]
    assert aside(places) == ["a1"]
    assert "catalogue/spring-released-1/images/a0.jpg" in dvc_data.manifest(places.root).files
    with pytest.raises(ThreadlineError, match="'a0' is not set aside"):
        release_rows(places, "catalogue", "spring", "bob", "again", ["a0"])


def test_what_nothing_could_use_is_not_released(places: Places) -> None:
    with pytest.raises(ThreadlineError, match="a1: not a picture in a known format"):
        release_rows(places, "catalogue", "spring", "bob", "please")
    assert aside(places) == ["a0", "a1"]
    assert len(read_ledger(places.data)) == 1
    assert list((places.incoming / "catalogue").iterdir()) == []


def test_a_decision_needs_a_name_and_a_reason(places: Places) -> None:
    for who, reason in (("", "why"), ("bob", " ")):
        with pytest.raises(ThreadlineError, match="a name and a reason"):
            release_rows(places, "catalogue", "spring", who, reason)
        with pytest.raises(ThreadlineError, match="a name and a reason"):
            turn_away(places, "catalogue", "spring", who, reason)


def test_a_release_that_is_cut_short_is_repaired_by_doing_it_again(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((stewardship, "accept"), (dvc_data, "add_batch")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, killed)
            with pytest.raises(KeyboardInterrupt):
                release_rows(places, "catalogue", "spring", "bob", "white", ["a0"])
    # the ledger has it, DVC does not yet: finishing is what accepting it again does
    assert accept(places, "catalogue", "spring-released-1", "bob").status == "already_accepted"
    assert [row.batch for row in read_ledger(places.data)] == ["spring", "spring-released-1"]
    assert "catalogue/spring-released-1/images/a0.jpg" in dvc_data.manifest(places.root).files
    assert aside(places) == ["a1"]


def test_a_row_that_was_delivered_again_is_settled(places: Places) -> None:
    delivered = places.delivered("catalogue", "fix")
    deliver_spring(delivered)
    rows = [one for one in read_catalogue_batch(delivered).articles if one.article_id == "a1"]
    write_catalogue_batch(delivered, rows)
    accept(places, "catalogue", "fix", "ann")
    assert aside(places) == ["a0"]


def test_listing_reads_each_table_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places, names = Places(tmp_path), [f"b{number}" for number in range(6)]
    write_ledger(places.data, [LedgerRow(n, "street", name, "ann", "", "", "") for n, name in enumerate(names)])
    for number, name in enumerate(names):
        later, fixed = Photo(f"p{number}"), Photo(f"aside{number - 2}")
        write_street_batch(places.accepted("street", name), [later, fixed], [Pair(f"p{number}", f"a{number - 1}")])
        aside = [Pair("other", f"a{number}"), Pair(f"p{number + 1}", f"a{number}")]
        write_street_batch(places.set_aside("street", name), [Photo(f"aside{number}")], aside)
    read: Counter[Path] = Counter()

    class Counted(pq.ParquetFile):
        def __init__(self, path: Path) -> None:
            read[path] += 1
            super().__init__(path)

    monkeypatch.setattr(pq, "ParquetFile", Counted)
    accounts = list_batches(places)
    assert set(read.values()) == {1} and len(read) == 1 + 4 * len(names)
    assert [one.set_aside for one in accounts] == [
        *((f"other / a{number}",) for number in range(4)),
        ("aside4", "other / a4"),
        ("aside5", "other / a5", "p6 / a5"),
    ]
    assert [show_batch(places, "street", name) for name in names] == accounts


def test_a_photo_is_released_with_its_pairs(places: Places) -> None:
    deliver_messy_street(places.delivered("street", "messy"))
    accept(places, "street", "messy", "ann")
    assert {"fog", "fog / a3", "cut"} <= {*aside(places, "street", "messy")}
    release_rows(places, "street", "messy", "bob", "it was foggy", ["fog"])
    released = read_street_batch(places.accepted("street", "messy-released-1"))
    assert [one.photo_id for one in released.photos] == ["fog"]
    assert [(one.photo_id, one.article_id) for one in released.pairs] == [("fog", "a3")]
    assert (released.root / str(released.photos[0].mask)).is_file()
    assert not {"fog", "fog / a3"} & {*aside(places, "street", "messy")}


def test_a_steward_may_accept_whatever_the_share_that_fails(places: Places) -> None:
    (places.root / "threadline.toml").write_text("[validation]\nquarantine_share = 0.0\n")
    deliver_messy_street(places.delivered("street", "messy"))
    assert accept(places, "street", "messy", "ann").status == "rejected"
    assert show_batch(places, "street", "messy").state == "rejected"
    verdict = accept(places, "street", "messy", "bob", lenience="any_share", reason="the rest is good")
    assert verdict.status == "accepted_with_quarantine"
    assert read_ledger(places.data)[-1].reason == "the rest is good"
    assert len(read_street_batch(places.accepted("street", "messy")).photos) == 20


def test_a_batch_turned_away_is_kept_with_the_decision(places: Places) -> None:
    deliver_messy_street(places.delivered("street", "messy"))
    kept = turn_away(places, "street", "messy", "bob", "wrong shop")
    assert json.loads((kept / "decision.json").read_text())["who"] == "bob"
    assert len(read_street_batch(kept / "batch").photos) == 24
    assert not places.delivered("street", "messy").exists()
    assert [(one.batch, one.state) for one in list_batches(places)] == [
        ("spring", "accepted"),
        ("messy", "turned away"),
    ]
    with pytest.raises(ThreadlineError, match="there is no batch"):
        turn_away(places, "street", "messy", "bob", "again")


def test_a_spreadsheet_reads_umlauts_and_calculates_nothing_of_the_corrections() -> None:
    named = {
        "=HYPERLINK(1)": "'=HYPERLINK(1)",
        "+a": "'+a",
        "-a": "'-a",
        "@a": "'@a",
        "\ta": "'\ta",
        "\ra": "'\ra",
        "-5": "-5",
        "+1.5": "+1.5",
        "Blüte": "Blüte",
    }
    rows = tuple(RowProblem("articles.parquet", row, one, one, "wrong") for row, one in enumerate(named))
    text = corrections(Verdict("catalogue", "spring", "rejected", rows, {}))
    assert text.startswith("\ufeffbatch,")
    read = list(csv.DictReader(io.StringIO(text[1:], newline="")))
    assert [line["id"] for line in read] == [line["image"] for line in read] == list(named.values())
    assert [line["row"] for line in read] == [str(row) for row in range(1, len(named) + 1)]


def test_another_delivery_under_an_accepted_name_is_shown_and_can_be_turned_away(places: Places) -> None:
    correction = places.delivered("catalogue", "spring")
    correction.mkdir()
    write_catalogue_batch(correction, [])
    (account,) = list_batches(places)
    assert account.state == show_batch(places, "catalogue", "spring").state == WAITS_AGAIN
    assert account.ledger is not None and account.set_aside == ("a0", "a1")
    turn_away(places, "catalogue", "spring", "bob", "it gets a name of its own")
    assert [one.state for one in list_batches(places)] == ["accepted"]


def test_what_nobody_judges_is_listed_with_what_to_do(places: Places, tmp_path: Path) -> None:
    for name in ("catalogue/Spring-2027", "spring", "catalogue/.copying"):
        (places.incoming / name).mkdir()
    (places.incoming / "catalogue" / os.fsdecode(b"fr\xfchling")).mkdir()
    (places.incoming / "catalogue" / "articles.parquet").touch()
    (places.incoming / "catalogue" / "linked").symlink_to(tmp_path)
    listed = CliRunner().invoke(app, ["batches", "list", "--json", "--workspace", str(places.root)])
    assert len(json.loads(listed.stdout)) == 1
    told = dict(line.split(" is judged by nobody: ") for line in listed.stderr.splitlines())
    assert {path: remedy.split(":")[0] for path, remedy in told.items()} == {
        "incoming/spring": "move it into incoming/catalogue/NAME or incoming/street/NAME",
        "incoming/catalogue/Spring-2027": "rename it",
        "incoming/catalogue/fr\ufffdhling": "rename it",
        "incoming/catalogue/articles.parquet": "it lies in no batch",
        "incoming/catalogue/linked": "it is a link",
    }


def test_the_command_line_shows_and_decides(places: Places, tmp_path: Path) -> None:
    run = CliRunner()
    at = ["--workspace", str(places.root)]
    shown = run.invoke(app, ["batches", "show", "catalogue/spring", "--csv", str(tmp_path / "fix.csv"), *at])
    assert shown.exit_code == 0
    assert "articles.parquet row 1 a0: the picture is blank" in shown.output
    assert "still set aside: a0, a1" in shown.output
    assert "contact_sheet.png" in shown.output
    lines = list(csv.DictReader(io.StringIO((tmp_path / "fix.csv").read_text("utf-8-sig"))))
    assert {(one["id"], one["row"], one["severity"]) for one in lines} >= {
        ("a0", "1", "problem"),
        ("a1", "2", "problem"),
    }
    released = run.invoke(
        app, ["batches", "release-rows", "catalogue/spring", "--id", "a0", "--who", "bob", "--reason", "white", *at]
    )
    assert released.exit_code == 0
    deliver_messy_street(places.delivered("street", "messy"))
    rejected = run.invoke(app, ["batches", "reject", "street/messy", "--reason", "wrong shop", *at])
    assert rejected.exit_code == 0
    listed = json.loads(run.invoke(app, ["batches", "list", "--json", *at]).stdout)
    assert [(one["batch"], one["state"], one["set_aside"]) for one in listed] == [
        ("spring", "accepted", ["a1"]),
        ("spring-released-1", "accepted", []),
        ("messy", "turned away", []),
    ]
