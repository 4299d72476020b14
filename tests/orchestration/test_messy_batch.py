"""The steward's door before a batch that holds every mistake: each row is told why, and nothing disappears."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from contracts.batches import KINDS, read_catalogue_batch, read_street_batch
from contracts.files import sha256_of_file
from contracts.images import read
from contracts.ledger import read_ledger
from orchestration import dvc_data
from orchestration.expectations.verdict import Verdict
from orchestration.intake import accept
from orchestration.places import Places
from tests.orchestration.messy import (
    SIZE,
    SOUND,
    deliver_messy_catalogue,
    deliver_messy_street,
    deliver_spring,
    picture,
)

LENIENT = "[validation]\nquarantine_share = 0.9\nenough_to_compare = 30\n"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A workspace with an accepted catalogue and two messy batches before its door."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tmp_path / "workspace"
    root.mkdir()
    dvc_data.init(root)
    made = Places(root)
    deliver_spring(made.delivered("catalogue", "spring"))
    assert accept(made, "catalogue", "spring", "ann").status == "accepted"
    deliver_messy_catalogue(made.delivered("catalogue", "messy"))
    deliver_messy_street(made.delivered("street", "messy"))
    return made


def told(verdict: Verdict) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What failed and what is a warning: the reasons by id."""
    failed: defaultdict[str, list[str]] = defaultdict(list)
    warned: defaultdict[str, list[str]] = defaultdict(list)
    for one in verdict.rows:
        (warned if one.warning else failed)[one.id].append(one.reason)
    return dict(failed), dict(warned)


def contents(*roots: Path) -> set[str]:
    """Digests of all files, and where all links lead, below `roots`."""
    found = [path for root in roots for path in root.rglob("*")]
    links = {f"link to {path.readlink()}" for path in found if path.is_symlink()}
    return links | {sha256_of_file(path) for path in found if path.is_file() and not path.is_symlink()}


def test_by_default_messy_batches_are_rejected_and_stay(places: Places) -> None:
    delivered = [places.delivered(kind, "messy") for kind in KINDS]
    before = contents(*delivered)
    for kind in KINDS:
        assert accept(places, kind, "messy", "ann").status == "rejected"
    assert contents(*delivered) == before
    assert [row.batch for row in read_ledger(places.data)] == ["spring"]


def test_every_row_of_the_catalogue_is_told_why(places: Places) -> None:
    (places.root / "threadline.toml").write_text(LENIENT)
    delivered = places.delivered("catalogue", "messy")
    tables = {sha256_of_file(delivered / "articles.parquet")}
    before = contents(delivered) - tables
    verdict = accept(places, "catalogue", "messy", "ann")
    assert verdict.status == "accepted_with_quarantine"
    failed, warned = told(verdict)
    assert "truncated" in failed.pop("truncated")[0]
    assert failed == {
        "text": ["not a picture in a known format"],
        "tiny": ["1 x 1 pixels: a side is under 16"],
        "huge": ["the picture unpacks to far too many pixels"],
        "blank": ["the picture is blank"],
        "twice-2": ["the same file as that of twice-1"],
        "double": ["the id 'double' is there more than once"] * 2,
        "missing": ["the file is missing"],
        "climbs": ["the path leaves the batch"],
        "linked": ["the path leaves the batch"],
    }
    assert warned.pop("")[0].startswith("the categories are not those accepted so far (distance 0.6")
    assert warned == {
        "png": ["the name ends in another format than the file's: .jpg (.png)"],
        "blank": ["background 100%, over 99%"],
        "near": ["looks the same as the accepted a3"],
        "a5": ["another picture than those accepted for a5: an update"],
        "hat": ["the category 'hatt' is new: not one of the eight, and no accepted article has it"],
    }
    accepted = read_catalogue_batch(places.accepted("catalogue", "messy")).articles
    sound = {f"n{number}" for number in range(SOUND)}
    assert {one.article_id for one in accepted} == sound | {
        *("png", "near", "a5", "hat", "rotated", "grey", "cmyk", "twice-1")
    }
    aside = places.set_aside("catalogue", "messy")
    assert {one.article_id for one in read_catalogue_batch(aside).articles} == {*failed, "truncated"}
    assert (aside / "unnamed" / "notes.txt").is_file()
    assert (aside / "unnamed" / "images" / "linked.jpg").is_symlink()
    assert before <= contents(places.accepted("catalogue", "messy"), aside)
    assert not delivered.exists()
    assert (delivered.parent / "outside.jpg").is_file()


def test_unusual_but_valid_pictures_are_accepted_the_right_way_up(places: Places) -> None:
    (places.root / "threadline.toml").write_text(LENIENT)
    accept(places, "catalogue", "messy", "ann")
    root = places.accepted("catalogue", "messy")
    for name, seed in (("rotated", 206), ("grey", 207), ("cmyk", 208)):
        seen = read(root / "images" / f"{name}.jpg").astype(int)
        meant = np.asarray(picture(seed) if name != "grey" else picture(seed).convert("L").convert("RGB")).astype(int)
        assert seen.shape == (*SIZE, 3)
        assert np.abs(seen - meant).mean() < 12, name


def test_every_row_of_the_street_is_told_why(places: Places) -> None:
    (places.root / "threadline.toml").write_text(LENIENT)
    delivered = places.delivered("street", "messy")
    tables = {sha256_of_file(path) for path in delivered.glob("*.parquet")}
    before = contents(delivered) - tables
    verdict = accept(places, "street", "messy", "ann")
    failed, _ = told(verdict)
    assert "truncated" in failed.pop("cut")[0]
    assert failed == {
        "other-size": ["the mask is 120 x 90 px, its photo 90 x 120"],
        "fog": ["the picture is blank"],
        "nobody": ["the mask covers 0.0%, under 0.5%"],
        "p1 / nowhere": ["no such article: nowhere (deliver its catalogue batch first)"],
        "ghost / a1": ["no such photo: ghost"],
        "fog / a3": ["its photo is set aside"],
        "cut / a2": ["its photo is set aside"],
    }
    accepted = read_street_batch(places.accepted("street", "messy"))
    assert [one.photo_id for one in accepted.photos] == [f"p{number}" for number in range(SOUND)]
    assert len(accepted.pairs) == SOUND
    aside = places.set_aside("street", "messy")
    assert {one.photo_id for one in read_street_batch(aside).photos} == {"other-size", "nobody", "cut", "fog"}
    assert before <= contents(places.accepted("street", "messy"), aside)


def test_a_catalogue_is_looked_at_once(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is judged again, and the accepted past that it is compared with, are not decoded again."""
    from orchestration.expectations import picture_facts

    decoded: list[str] = []
    original = picture_facts._look

    def counted(data: bytes, sha256: str) -> picture_facts.PictureFacts:
        decoded.append(sha256)
        return original(data, sha256)

    accept(places, "catalogue", "messy", "ann")
    monkeypatch.setattr(picture_facts, "_look", counted)
    first = accept(places, "catalogue", "messy", "ann")
    assert len(decoded) == 4  # those that cannot be decoded are tried again: cut short, no picture, tiny, huge
    for path in places.home.glob("picture_facts-*"):
        path.unlink()
    decoded.clear()
    assert accept(places, "catalogue", "messy", "ann").rows == first.rows
    assert len(decoded) > 60
