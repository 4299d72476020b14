"""Accepting a batch: once, whole, with nothing lost, whenever it is interrupted."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.batches import (
    Article,
    Kind,
    Pair,
    Photo,
    read_catalogue_batch,
    write_catalogue_batch,
    write_street_batch,
)
from contracts.errors import ThreadlineError
from contracts.files import new_directory, sha256_of_file
from contracts.ledger import read_ledger
from orchestration import dvc_data, intake
from orchestration.expectations import validate
from orchestration.expectations.known import KnownData, known_data
from orchestration.expectations.verdict import RowProblem, Verdict, read_verdict, write_verdict
from orchestration.intake import accept
from orchestration.places import Places

COUNT = 12
NOBODY = 65534


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """An empty workspace."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    root.mkdir()
    dvc_data.init(root)
    return Places(root)


def deliver_articles(places: Places, batch: str, *, seed: int = 0, bad: int = 0, count: int = COUNT) -> Path:
    """Deliver articles a0, a1, … of which the first `bad` have an image that is none."""
    root = places.delivered("catalogue", batch)
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        path = root / "images" / f"{number}.png"
        coarse = np.random.default_rng([seed, number]).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((80, 80), Image.Resampling.BICUBIC).save(path)
        if number < bad:
            path.write_text("broken")
        rows.append(
            Article(f"a{number}", category="top", images=(f"images/{number}.png",), sha256=(sha256_of_file(path),))
        )
    write_catalogue_batch(root, rows)
    return root


def deliver_photos(places: Places, batch: str, article_id: str) -> Path:
    """Deliver photos that show one article each, all the same."""
    source = deliver_articles(places, "drawn", seed=7)
    root = places.delivered("street", batch)
    root.parent.mkdir(parents=True, exist_ok=True)
    articles = read_catalogue_batch(source).articles
    source.rename(root)
    (root / "articles.parquet").unlink()
    photos = [Photo(f"p{n}", image=one.images[0], sha256=one.sha256[0]) for n, one in enumerate(articles)]
    write_street_batch(root, photos, [Pair(photo.photo_id, article_id) for photo in photos])
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_accepted_batch_is_data_with_a_ledger_row_and_a_version(places: Places) -> None:
    delivered = deliver_articles(places, "spring")
    before = tree(delivered)
    verdict = accept(places, "catalogue", "spring", "ann")
    assert verdict.status == "accepted"
    accepted = tree(places.accepted("catalogue", "spring"))
    assert {name: accepted[name] for name in before if name != "articles.parquet"} == {
        name: content for name, content in before.items() if name != "articles.parquet"
    }
    assert not delivered.exists()
    (row,) = read_ledger(places.data)
    assert (row.sequence, row.kind, row.batch, row.who, row.verdict) == (1, "catalogue", "spring", "ann", "accepted")
    files = dvc_data.manifest(places.root).files
    assert len(files) == COUNT + 2
    assert known_data(places, "catalogue").articles == {f"a{n}" for n in range(COUNT)}
    assert read_verdict(places.report("catalogue", "spring")).status == "accepted"


def test_failing_rows_are_kept_in_quarantine(places: Places) -> None:
    deliver_articles(places, "spring", bad=1)
    verdict = accept(places, "catalogue", "spring", "ann")
    assert verdict.status == "accepted_with_quarantine"
    accepted = read_catalogue_batch(places.accepted("catalogue", "spring"))
    assert [one.article_id for one in accepted.articles] == [f"a{n}" for n in range(1, COUNT)]
    aside = places.set_aside("catalogue", "spring")
    assert [one.article_id for one in read_catalogue_batch(aside).articles] == ["a0"]
    assert (aside / "images" / "0.png").read_text() == "broken"
    assert read_verdict(aside).rows[0].reason == "not a picture in a known format"
    assert read_ledger(places.data)[0].verdict == "accepted_with_quarantine"


def test_a_rejected_batch_stays_and_blocks_nobody(places: Places) -> None:
    delivered = deliver_articles(places, "bad", bad=5)
    before = tree(delivered)
    assert accept(places, "catalogue", "bad", "ann").status == "rejected"
    assert tree(delivered) == before
    assert read_ledger(places.data) == []
    assert not places.data.exists()
    deliver_articles(places, "good")
    assert accept(places, "catalogue", "good", "ann").accepted
    assert set(dvc_data.batch_digests(dvc_data.manifest(places.root).files)) == {("catalogue", "good")}


@pytest.mark.parametrize("bad", [0, 1])
def test_the_same_bytes_again_change_nothing(places: Places, bad: int) -> None:
    deliver_articles(places, "spring", bad=bad)
    accept(places, "catalogue", "spring", "ann")
    before = tree(places.data), (places.root / "data.dvc").read_bytes()
    delivered = deliver_articles(places, "spring", bad=bad)
    assert accept(places, "catalogue", "spring", "bob").status == "already_accepted"
    assert (tree(places.data), (places.root / "data.dvc").read_bytes()) == before
    assert not delivered.exists()


def test_other_bytes_under_the_same_name_are_refused_and_kept(places: Places) -> None:
    deliver_articles(places, "spring")
    accept(places, "catalogue", "spring", "ann")
    before = tree(places.data)
    delivered = deliver_articles(places, "spring", seed=1)
    with pytest.raises(ThreadlineError, match="under another name"):
        accept(places, "catalogue", "spring", "ann")
    assert tree(places.data) == before
    assert len(tree(delivered)) == COUNT + 1


def test_a_batch_put_into_data_by_hand_is_not_written_over(places: Places) -> None:
    by_hand = places.accepted("catalogue", "spring")
    by_hand.mkdir(parents=True)
    (by_hand / "precious").write_text("x")
    deliver_articles(places, "spring")
    with pytest.raises(ThreadlineError, match="under another name"):
        accept(places, "catalogue", "spring", "ann")
    assert (by_hand / "precious").exists()


def test_a_batch_that_was_taken_out_can_come_back_to_its_place(places: Places) -> None:
    for batch, seed in (("one", 1), ("two", 2)):
        deliver_articles(places, batch, seed=seed)
        accept(places, "catalogue", batch, "ann")
    before = dvc_data.data_version(places.root)
    shutil.rmtree(places.accepted("catalogue", "one"))
    dvc_data.add_all(places.root)
    deliver_articles(places, "one", seed=1)
    assert accept(places, "catalogue", "one", "bob").status == "accepted"
    assert [(row.sequence, row.batch, row.who) for row in read_ledger(places.data)] == [
        (1, "one", "ann"),
        (2, "two", "ann"),
    ]
    assert dvc_data.data_version(places.root) == before


def test_pairs_are_judged_against_the_accepted_catalogue(places: Places) -> None:
    deliver_photos(places, "looks", "a3")
    assert accept(places, "street", "looks", "ann").status == "rejected"
    deliver_articles(places, "spring")
    accept(places, "catalogue", "spring", "ann")
    assert accept(places, "street", "looks", "ann").status == "accepted"
    assert known_data(places, "street").photos == {f"p{n}" for n in range(COUNT)}


def test_articles_deleted_by_a_later_batch_are_not_known(places: Places) -> None:
    deliver_articles(places, "spring")
    accept(places, "catalogue", "spring", "ann")
    root = places.delivered("catalogue", "outlet")
    root.mkdir(parents=True)
    write_catalogue_batch(root, [Article("a0", op="delete")])
    accept(places, "catalogue", "outlet", "ann")
    assert known_data(places, "catalogue").articles == {f"a{n}" for n in range(1, COUNT)}


def test_a_missing_delivery_a_link_and_a_bad_name_are_refused(places: Places, tmp_path: Path) -> None:
    for name in ("nothing", "../up", "Spring", ""):
        with pytest.raises(ThreadlineError):
            accept(places, "catalogue", name, "ann")
    places.delivered("catalogue", "linked").parent.mkdir(parents=True)
    places.delivered("catalogue", "linked").symlink_to(tmp_path)
    with pytest.raises(ThreadlineError, match="there is no batch"):
        accept(places, "catalogue", "linked", "ann")


def test_what_no_row_names_does_not_become_data(places: Places, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    delivered = deliver_articles(places, "spring")
    (delivered / "outside").symlink_to(tmp_path)
    (delivered / "notes.txt").write_text("hello")
    accept(places, "catalogue", "spring", "ann")
    names = {path.name for path in places.accepted("catalogue", "spring").iterdir()}
    assert names == {"articles.parquet", "images"}
    assert (tmp_path / "secret").exists()


def test_a_delivery_that_changes_meanwhile_is_left_for_later(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = deliver_articles(places, "spring")
    original = validate.validate_batch

    def while_copying(*args: object, **keywords: object) -> object:
        (delivered / "images" / "late.png").write_text("still being copied")
        return original(*args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(validate, "validate_batch", while_copying)
    with pytest.raises(ThreadlineError, match="changed while"):
        accept(places, "catalogue", "spring", "ann")
    assert not places.data.exists()
    monkeypatch.undo()
    assert (delivered / "images" / "late.png").exists()


def test_what_is_written_while_a_batch_is_accepted_is_kept(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = deliver_articles(places, "spring")
    original = dvc_data.add_batch

    def while_adding(*args: object) -> None:
        (delivered / "images" / "late.png").write_text("has just come")
        (delivered / "articles.parquet").unlink()
        (delivered / "articles.parquet").write_text("another table")
        original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(dvc_data, "add_batch", while_adding)
    assert accept(places, "catalogue", "spring", "ann").status == "accepted"
    unnamed = places.set_aside("catalogue", "spring") / "unnamed"
    assert tree(unnamed) == {"images/late.png": b"has just come", "articles.parquet": b"another table"}
    assert len(read_catalogue_batch(places.accepted("catalogue", "spring")).articles) == COUNT
    deliver_articles(places, "spring")
    assert accept(places, "catalogue", "spring", "ann").status == "already_accepted"
    assert (unnamed / "articles.parquet.2").read_text() == "another table"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as somebody else")
def test_read_only_directories_of_a_delivery_are_no_obstacle() -> None:
    with tempfile.TemporaryDirectory() as name:
        target, source = Path(name) / "elsewhere" / "batch", Path(name) / "batch"
        os.chown(name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            (source / "images").mkdir(parents=True)
            (source / "images" / "a.png").touch()
            (source / "images").chmod(0o555)
            source.chmod(0o555)
            intake.put_in_place(source, target)
            assert (target / "images" / "a.png").exists()
            (source / "other").mkdir(parents=True)
            intake.put_in_place(source, target)
        finally:
            os.seteuid(0)
        assert [path.name for path in target.iterdir()] == ["other"]


def test_what_another_batch_left_behind_stops_nobody(
    places: Places, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = places.intake / "done-catalogue-winter"
    stuck.mkdir(parents=True)
    original = shutil.rmtree

    def refused(path: Path, **keywords: bool) -> None:
        if path == stuck:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        original(path, **keywords)

    monkeypatch.setattr(shutil, "rmtree", refused)
    deliver_articles(places, "spring")
    assert accept(places, "catalogue", "spring", "ann").status == "accepted"
    assert str(stuck) in caplog.text


class Killed(BaseException):
    """Stands for a process that ends here."""


def first_row_fails(kind: Kind, root: Path, known: KnownData, out: Path, *_: object, **__: object) -> Verdict:
    """Stands for the verdict, which is not what is interrupted here."""
    problem = RowProblem("articles.parquet", 0, "a0", "images/0.png", "broken")
    verdict = Verdict(kind, root.name, "accepted_with_quarantine", (problem,), {})
    with new_directory(out) as report:
        write_verdict(report, verdict)
    return verdict


STEPS = [
    ("validate_batch", 1),
    ("part_batch", 1),
    ("write_text", 1),
    ("put_in_place", 1),
    ("write_ledger", 1),
    ("dvc", 1),
    ("put_in_place", 2),
    ("put_in_place", 3),
    ("shutil.rmtree", 1),
    ("shutil.rmtree", 2),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("step", "which"), STEPS)
def test_a_kill_at_any_step_is_repaired_by_doing_it_again(
    places: Places, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, which: int
) -> None:
    monkeypatch.setattr(validate, "validate_batch", first_row_fails)
    deliver_articles(places, "spring", bad=1)
    owners = {"dvc": (dvc_data, "add_batch"), "shutil.rmtree": (shutil, "rmtree"), "validate_batch": (validate, step)}
    owner, name = owners.get(step, (intake, step))
    original = getattr(owner, name)
    calls = 0

    def killed(*args: object, **keywords: object) -> object:
        nonlocal calls
        calls += 1
        if calls == which and not after:
            raise Killed
        result = original(*args, **keywords)
        if calls == which:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        try:
            accept(places, "catalogue", "spring", "ann")
        except Killed:
            pass
        else:
            assert calls < which
    if places.delivered("catalogue", "spring").exists():
        accept(places, "catalogue", "spring", "ann")
    assert [row.batch for row in read_ledger(places.data)] == ["spring"]
    accepted = read_catalogue_batch(places.accepted("catalogue", "spring"))
    assert len(accepted.articles) == COUNT - 1
    assert [one.article_id for one in read_catalogue_batch(places.set_aside("catalogue", "spring")).articles] == ["a0"]
    assert len(dvc_data.manifest(places.root).files) == COUNT - 1 + 2
    assert not places.delivered("catalogue", "spring").exists()
    assert {path.name for path in (places.data / "catalogue").iterdir()} == {"spring"}
    assert {path.name for path in places.quarantine.rglob(".*")} == set()
    deliver_articles(places, "spring", bad=1)
    assert accept(places, "catalogue", "spring", "ann").status == "already_accepted"
    assert [path for path in places.intake.iterdir() if path.is_dir()] == []
