"""The steward's page through HTTP: what it shows, what its forms decide, and whom it refuses."""

from __future__ import annotations

import csv
import io
import os
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.testclient import TestClient

from contracts.errors import ThreadlineError
from contracts.ledger import read_ledger
from orchestration.places import Places
from orchestration.steward_page import app as page_module
from orchestration.steward_page.app import StewardPage
from orchestration.steward_page.server import listen
from orchestration.stewardship import accept_delivered, show_batch
from tests.orchestration.messy import deliver_messy_street, deliver_spring, picture
from tests.orchestration.test_stewardship import places

__all__ = ["places"]

ORIGIN = "http://127.0.0.1:8001"
SPRING = "/batches/catalogue/spring"


@pytest.fixture
def page(places: Places) -> Iterator[TestClient]:
    """The page over a workspace with spring accepted, but for a blank picture (a0) and a text file (a1)."""
    with TestClient(StewardPage(places).app, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


def token_of(page: TestClient, address: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.get(address).text)
    assert found, "the page has no form"
    return found[1]


def send(page: TestClient, decision: str, address: str = SPRING, **fields: object) -> str:
    """Send the form of a decision and follow it to what the page says then."""
    form = {"token": token_of(page, address), "who": "bob", "reason": "it is a white shirt", **fields}
    for _ in range(600):
        answer = page.post(f"{address}/{decision}", data=form) if form else page.get(address)
        form = {}
        if "Being carried out" not in answer.text:
            return answer.text
        threading.Event().wait(0.1)
    raise AssertionError("it is not done")


def test_the_batches_are_listed_by_what_they_wait_for(page: TestClient, places: Places) -> None:
    deliver_messy_street(places.delivered("street", "messy"))
    (places.incoming / "street" / "My Photos").mkdir()
    (places.incoming / "street" / os.fsdecode(b"f\xfcr")).mkdir()
    text = page.get("/").text
    waiting, aside = text.index("Waiting for a decision"), text.index("Accepted, with rows set aside")
    assert waiting < text.index("/batches/street/messy") < aside < text.index(SPRING)
    assert "incoming/street/f\ufffdr" in text
    assert "incoming/street/My Photos" in text and "rename it" in text


def test_a_batch_shows_each_picture_with_its_reason(page: TestClient) -> None:
    text = page.get(SPRING).text
    cards = {
        match[1]: match[0] for match in re.finditer(r'<li class="card">.*?<strong>(.*?)</strong>.*?</li>', text, re.S)
    }
    assert "the picture is blank" in cards["a0"] and "row 1" in cards["a0"]
    assert "not a picture in a known format" in cards["a1"]
    for card in (cards["a0"], cards["a1"]):
        assert "set aside" in card and 'type="checkbox"' in card


def test_pictures_are_small_and_made_here(page: TestClient) -> None:
    text = page.get(SPRING).text
    sources = [source.replace("&amp;", "&") for source in re.findall(r'<img src="([^"]+)"', text)]
    assert len(sources) >= 2
    blank, crossed_out = (page.get(source) for source in sources[:2])
    assert Image.open(io.BytesIO(blank.content)).getpixel((100, 160)) == (250, 250, 250)
    assert crossed_out.headers["content-type"] == "image/png", "a text file is no picture"
    assert b"<html>" not in crossed_out.content


@pytest.mark.parametrize("path", ["../outside.jpg", "/etc/hostname", "images/link.jpg", "images", "", "a\0b", "..\\x"])
def test_paths_never_leave_their_batch(page: TestClient, places: Places, path: str) -> None:
    outside = places.data / "catalogue" / "outside.jpg"
    picture(1).save(outside)
    link = places.accepted("catalogue", "spring") / "images" / "link.jpg"
    link.symlink_to(outside)
    shown = page.get(f"{SPRING}/picture", params={"of": path})
    assert shown.headers["content-type"] == "image/png", "nothing but the crossed-out sheet"
    report = page.get(f"{SPRING}/report/{quote(path or '../verdict.json', safe='')}")
    assert report.status_code == 404


@pytest.mark.parametrize(
    "address", ["/batches/catalogue/none", "/batches/shoes/spring", "/batches/street/..%2f..", "/x"]
)
def test_what_is_not_there(page: TestClient, address: str) -> None:
    answer = page.get(address)
    assert answer.status_code == 404
    assert "Threadline" in answer.text


def test_the_csv_and_the_report(page: TestClient) -> None:
    answer = page.get(f"{SPRING}/to-correct.csv")
    assert "attachment" in answer.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert {"a0", "a1"} <= {line["id"] for line in lines if line["severity"] == "problem"}
    docs = re.search(r'href="([^"]+index\.html)"', page.get(SPRING).text)
    assert docs
    report = page.get(docs[1])
    assert report.status_code == 200 and "sandbox" in report.headers["content-security-policy"]
    assert page.get(f"{SPRING}/report/contact_sheet.png").headers["content-type"] == "image/png"
    assert page.get(f"{SPRING}/report/verdict.json").status_code == 404


def test_ticked_rows_are_released_with_name_and_reason(page: TestClient, places: Places) -> None:
    assert "Released as catalogue/spring-released-1" in send(page, "release", id="a0")
    row = read_ledger(places.data)[-1]
    assert (row.batch, row.who, row.reason) == ("spring-released-1", "bob", "it is a white shirt")
    assert show_batch(places, "catalogue", "spring").set_aside == ("a1",)
    assert "settled" in page.get(SPRING).text


def test_what_cannot_be_released_is_said_and_changes_nothing(page: TestClient, places: Places) -> None:
    assert "a1: not a picture in a known format" in send(page, "release", all="yes")
    assert "no row was chosen" in send(page, "release")
    assert "needs a name and a reason" in send(page, "release", id="a0", reason=" ")
    assert len(read_ledger(places.data)) == 1


def test_a_delivered_batch_is_judged_then_accepted_with_a_reason(page: TestClient, places: Places) -> None:
    (places.root / "threadline.toml").write_text("[validation]\nquarantine_share = 0.0\n")
    deliver_messy_street(places.delivered("street", "messy"))
    address = "/batches/street/messy"
    assert "no verdict" in page.get(address).text
    assert "Rejected." in send(page, "accept", address, reason="")
    assert "the picture is blank" in page.get(address).text
    assert "Accepted with quarantine." in send(page, "accept", address, reason="the rest is good")
    assert read_ledger(places.data)[-1].reason == "the rest is good"


def test_a_delivered_batch_is_turned_away_and_its_pictures_are_still_shown(page: TestClient, places: Places) -> None:
    deliver_messy_street(places.delivered("street", "messy"))
    address = "/batches/street/messy"
    with pytest.raises(ThreadlineError, match="no batch"):
        accept_delivered(places, "street", "messi", "ann", "")
    assert "Turned away" in send(page, "reject", address, reason="another shop")
    assert not places.delivered("street", "messy").exists()
    shown = page.get(f"{address}/picture", params={"of": "images/p1.jpg"})
    assert shown.headers["content-type"] == "image/jpeg"


def test_another_delivery_under_an_accepted_name_waits_and_can_only_be_turned_away(
    page: TestClient, places: Places
) -> None:
    correction = places.delivered("catalogue", "spring")
    (correction / "images").mkdir(parents=True)
    picture(5).save(correction / "images" / "a0.jpg")
    listed, shown = page.get("/").text, page.get(SPRING).text
    assert "another delivery waits under this name" in listed[: listed.index("</section>")]
    assert "Reject the delivery that waits" in shown and "Accept the batch" not in shown
    assert "Release the ticked rows" in shown
    blank = page.get(f"{SPRING}/picture", params={"of": "images/a0.jpg"})
    assert Image.open(io.BytesIO(blank.content)).getpixel((100, 160)) == (250, 250, 250), "the accepted batch's"
    assert "Turned away" in send(page, "reject", reason="it gets a name of its own")
    assert "another delivery waits" not in page.get("/").text


def test_what_was_delivered_is_text_and_never_markup(page: TestClient, places: Places) -> None:
    from dataclasses import replace

    from contracts.batches import read_catalogue_batch, write_catalogue_batch

    delivered = places.delivered("catalogue", "odd")
    deliver_spring(delivered)
    rows = list(read_catalogue_batch(delivered).articles)
    rows[0] = replace(rows[0], article_id='<script>alert("x")</script>', images=("images/none.jpg",))
    write_catalogue_batch(delivered, rows[:2])
    accept_delivered(places, "catalogue", "odd", "ann", "")
    text = page.get("/batches/catalogue/odd").text
    assert "&lt;script&gt;" in text and "<script" not in text


def test_forms_of_other_sites_are_refused(page: TestClient, places: Places) -> None:
    token = token_of(page, SPRING)
    form = {"token": token, "who": "eve", "reason": "none", "all": "yes"}
    refused = [
        page.post(f"{SPRING}/release", data=form, headers={"Origin": "http://evil.example"}),
        page.post(f"{SPRING}/release", data=form, headers={"Origin": "null"}),
        page.post(f"{SPRING}/release", data={**form, "token": "guessed"}),
        page.post(f"{SPRING}/release", data={name: value for name, value in form.items() if name != "token"}),
        page.post(f"{SPRING}/release", data=form, headers={"Host": "evil.example:8001"}),
        page.get("/", headers={"Host": "evil.example"}),
        page.post(f"{SPRING}/release", data={**form, "reason": "x" * 1_100_000}),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert page.get(f"{SPRING}/release").status_code == 405
    assert len(read_ledger(places.data)) == 1


def test_nothing_is_kept_or_fetched_elsewhere(page: TestClient) -> None:
    for address in ("/", SPRING, f"{SPRING}/report/data_docs/index.html"):
        headers = page.get(address).headers
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"]


def test_one_decision_at_a_time(page: TestClient, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slowly(*given: object) -> str:
        report = given[-1]
        assert callable(report)
        report("looking at pictures", 3, 10)
        go_on.wait(30)
        return "Done."

    monkeypatch.setitem(page_module.DECISIONS, "release", slowly)
    with TestClient(StewardPage(places).app, base_url=ORIGIN, headers={"Origin": ORIGIN}) as slow:
        form = {"token": token_of(slow, SPRING), "who": "bob", "reason": "why"}
        first = slow.post(f"{SPRING}/release", data=form)
        assert "looking at pictures, 3 of 10" in first.text and 'http-equiv="refresh"' in first.text
        second = slow.post(f"{SPRING}/release", data=form)
        assert second.status_code == 409 and "is being carried out" in second.text
        go_on.set()
        for _ in range(100):
            if "Done." in slow.get(SPRING).text:
                break
            threading.Event().wait(0.05)
        assert "Done." in slow.get(SPRING).text


def test_it_listens_on_this_machine_only() -> None:
    with listen(0) as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(ThreadlineError, match=f"port {port}"):
            listen(port)
