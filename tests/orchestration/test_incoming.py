"""Which deliveries are judged by themselves, and when; and that judging one is done once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from contracts.batches import Article, Photo, write_catalogue_batch, write_street_batch
from contracts.errors import ThreadlineError
from contracts.files import write_table
from contracts.ledger import read_ledger
from orchestration import dvc_data
from orchestration.graph_resources import Watcher
from orchestration.incoming import (
    DELIVERY_TAG,
    PATIENT_S,
    QUIET_S,
    SOON_S,
    WHO,
    intake,
    look,
    next_attempt,
    photos_are_coming,
    to_judge,
    unjudged,
)
from orchestration.intake import accept, judging_lock
from orchestration.locks import waiting_for
from orchestration.places import Places
from orchestration.resources import Workspace
from orchestration.stewardship import turn_away
from tests.orchestration.messy import deliver_messy_street, deliver_spring
from tests.orchestration.test_stewardship import places

__all__ = ["places"]


def due(places: Places, after_s: float) -> list[str]:
    return [one.label for one in to_judge(places, unjudged(places), time.time() + after_s)]


def deliver_autumn(places: Places, *images: str) -> Path:
    """A batch of one article with these images, of which no file is there yet."""
    root = places.delivered("catalogue", "autumn")
    root.mkdir(parents=True)
    write_catalogue_batch(root, [Article("b1", category="top", images=images, sha256=("0" * 64,) * len(images))])
    return root


def test_a_whole_delivery_is_judged_when_it_has_been_quiet(places: Places) -> None:
    deliver_spring(places.delivered("catalogue", "autumn"))
    assert due(places, after_s=0) == []
    assert due(places, after_s=QUIET_S + 1) == ["catalogue/autumn"]


def test_a_delivery_of_which_files_are_missing_is_given_time_to_arrive(places: Places) -> None:
    root = deliver_autumn(places, "late.jpg")
    assert due(places, after_s=QUIET_S + 1) == []
    assert due(places, after_s=PATIENT_S + 1) == ["catalogue/autumn"]
    (root / "late.jpg").write_text("it has come")
    assert due(places, after_s=QUIET_S + 1) == ["catalogue/autumn"]
    (root / "articles.parquet").write_bytes(b"half of a table")
    assert due(places, after_s=QUIET_S + 1) == []
    assert due(places, after_s=PATIENT_S + 1) == ["catalogue/autumn"]


def test_copied_times_do_not_make_a_delivery_look_old(places: Places) -> None:
    root = deliver_autumn(places)
    os.utime(root / "articles.parquet", (0, 0))
    assert due(places, after_s=0) == []


def test_what_is_hidden_misnamed_or_linked_is_left_alone(places: Places, tmp_path: Path) -> None:
    deliver_spring(tmp_path / "elsewhere")
    for name in (".copying", "Spring 2027"):
        deliver_spring(places.delivered("catalogue", name))
    places.delivered("catalogue", "linked").symlink_to(tmp_path / "elsewhere")
    assert due(places, after_s=PATIENT_S + 1) == []


def test_articles_go_before_the_photos_that_show_them(places: Places) -> None:
    deliver_messy_street(places.delivered("street", "may"))
    assert due(places, after_s=QUIET_S + 1) == ["street/may"]
    deliver_autumn(places)
    assert due(places, after_s=QUIET_S + 1) == ["catalogue/autumn"]


def test_what_was_rejected_waits_for_the_steward_until_it_changes(places: Places) -> None:
    root = deliver_autumn(places, "missing.jpg")
    assert accept(places, "catalogue", "autumn", WHO).status == "rejected"
    assert due(places, after_s=PATIENT_S + 1) == []
    (root / "missing.jpg").write_text("a correction")
    assert due(places, after_s=QUIET_S + 1) == ["catalogue/autumn"]


def test_an_acceptance_that_was_cut_short_is_taken_up_and_not_turned_away(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = places.delivered("catalogue", "gone")
    root.mkdir(parents=True)
    write_catalogue_batch(root, [Article("a5", op="delete")])
    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space left"):
        patched.setattr(dvc_data, "add_batch", failing)
        accept(places, "catalogue", "gone", WHO)
    with pytest.raises(ThreadlineError, match="catalogue/gone was accepted before"):
        turn_away(places, "catalogue", "gone", "ann", "a mistake")
    assert due(places, after_s=QUIET_S + 1) == ["catalogue/gone"]
    assert accept(places, "catalogue", "gone", WHO).status == "already_accepted"
    assert due(places, after_s=QUIET_S + 1) == []


def failing(*_: object) -> None:
    raise OSError("no space left")


def test_a_null_among_the_images_sets_its_row_aside_and_stops_no_other_delivery(places: Places) -> None:
    root = deliver_autumn(places)
    hollow = {"article_id": ["b1"], "op": ["upsert"], "category": ["top"], "images": [[None]], "sha256": [[None]]}
    write_table(root / "articles.parquet", pa.table(hollow))
    deliver_spring(places.delivered("catalogue", "winter"))
    assert "catalogue/winter" in due(places, after_s=PATIENT_S + 1)
    assert accept(places, "catalogue", "autumn", WHO).status == "rejected"


def test_what_somebody_is_judging_is_left_to_them(places: Places) -> None:
    deliver_autumn(places)
    with waiting_for(judging_lock(places, "catalogue", "autumn")):
        assert due(places, after_s=QUIET_S + 1) == []
    assert due(places, after_s=QUIET_S + 1) == ["catalogue/autumn"]


def test_two_who_judge_one_delivery_take_turns(places: Places) -> None:
    deliver_spring(places.delivered("catalogue", "autumn"))
    results: list[object] = []

    def judged() -> None:
        try:
            results.append(accept(places, "catalogue", "autumn", "ann").status)
        except Exception as error:
            results.append(str(error))

    both = [threading.Thread(target=judged) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(str(one).partition(" at ")[0] for one in results) == ["accepted", "there is no batch"]
    assert [row.batch for row in read_ledger(places.data)] == ["spring", "autumn"]


def test_what_ends_without_a_verdict_is_tried_again_with_pauses(places: Places) -> None:
    (places.root / "threadline.toml").write_text("[retries]\nmost = 1\nbackoff_s = 30\n")
    workspace = Workspace(places.root)
    deliver_autumn(places)
    (delivery,) = unjudged(places)
    first = next_attempt(workspace, None, delivery, 1000.0)
    assert first is not None and first.count == 1
    assert next_attempt(workspace, first, delivery, 1029.0) is None
    second = next_attempt(workspace, first, delivery, 1031.0)
    assert second is not None and second.count == 2
    assert next_attempt(workspace, second, delivery, 99_999.0) is None, "then it waits for a person"
    (places.delivered("catalogue", "autumn") / "note.txt").touch()
    (changed,) = unjudged(places)
    assert next_attempt(workspace, second, changed, 1032.0) is not None, "or for another delivery"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_the_sensor_asks_once_and_its_run_accepts(places: Places, instance: dg.DagsterInstance) -> None:
    deliver_spring(places.delivered("catalogue", "autumn"))
    write_street_batch_of_one(places)
    workspace, later_s = Workspace(places.root), time.time() + QUIET_S + 1
    first = look(workspace, instance, None, later_s)
    (request,) = first.run_requests or ()
    assert request.tags[DELIVERY_TAG] == "catalogue/autumn"
    assert look(workspace, instance, first.cursor, later_s).run_requests == [], "it waits before it is tried again"
    given = {"workspace": workspace, "watcher": Watcher(None)}
    done = intake.execute_in_process(run_config=request.run_config, instance=instance, resources=given)
    assert done.success
    assert (read_ledger(places.data)[-1].batch, read_ledger(places.data)[-1].who) == ("autumn", WHO)
    (request,) = look(workspace, instance, first.cursor, later_s).run_requests or ()
    assert request.tags[DELIVERY_TAG] == "street/one", "its articles are there now"


def test_a_delivery_that_cannot_be_judged_holds_photos_back_only_while_it_is_tried(
    places: Places, instance: dg.DagsterInstance
) -> None:
    (places.root / "threadline.toml").write_text("[retries]\nmost = 1\nbackoff_s = 30\n")
    correction = places.delivered("catalogue", "spring")
    correction.mkdir(parents=True)
    write_catalogue_batch(correction, [Article("a1", op="delete")])
    write_street_batch_of_one(places)
    workspace, given = Workspace(places.root), {"workspace": Workspace(places.root), "watcher": Watcher(None)}
    cursor, now_s = None, time.time() + QUIET_S + 1
    for _ in range(2):
        asked = look(workspace, instance, cursor, now_s)
        (request,) = asked.run_requests or ()
        assert request.tags[DELIVERY_TAG] == "catalogue/spring"
        with pytest.raises(ThreadlineError, match="such as spring-2"):
            intake.execute_in_process(run_config=request.run_config, instance=instance, resources=given)
        cursor, now_s = asked.cursor, now_s + 31
    (request,) = look(workspace, instance, cursor, now_s).run_requests or ()
    assert request.tags[DELIVERY_TAG] == "street/one"


def write_street_batch_of_one(places: Places) -> None:
    root = places.delivered("street", "one")
    root.mkdir(parents=True)
    (root / "p.jpg").write_text("whatever it is")
    write_street_batch(root, [Photo("p", image="p.jpg", sha256="0" * 64)], [])


def test_photos_are_on_their_way_until_they_are_accepted_or_rejected(places: Places) -> None:
    def coming(after_s: float = 0) -> bool:
        return photos_are_coming(places, time.time() + after_s)

    deliver_spring(places.delivered("catalogue", "autumn"))
    assert not coming(), "articles bring no pairs"
    deliver_messy_street(places.delivered("street", "june"))
    assert coming()
    assert not coming(after_s=SOON_S + 1), "what nobody can judge holds nothing up for long"
    with waiting_for(judging_lock(places, "street", "june")):
        assert coming(after_s=SOON_S + 1)
    accept(places, "street", "june", WHO)
    assert not coming()
