"""The steward's page in real Chromium over the rendered sample, spoilt. THREADLINE_SCREENSHOTS=DIR keeps pictures."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from contracts.batches import read_catalogue_batch, write_catalogue_batch
from contracts.files import sha256_of_file
from contracts.ledger import read_ledger
from orchestration import dvc_data
from orchestration.intake import accept
from orchestration.places import Places
from orchestration.sources.sample import SampleSize, deliver_sample
from orchestration.steward_page.app import StewardPage
from orchestration.steward_page.server import listen

pytestmark = pytest.mark.slow

GARMENTS = 80


def spoil(root: Path, first: int) -> None:
    """Give seven articles of a sample batch, from `first` on, what people deliver by mistake."""
    rows = list(read_catalogue_batch(root).articles)

    def image(place: int) -> Path:
        return root / rows[place].images[0]

    def changed(place: int) -> None:
        rows[place] = replace(rows[place], sha256=(sha256_of_file(image(place)),))

    Image.new("RGB", (192, 256), (247, 246, 243)).save(image(first))
    image(first + 1).write_bytes(image(first + 1).read_bytes()[:2500])
    image(first + 2).write_text("<html>404</html>")
    with Image.open(image(first + 3)) as whole:
        small = whole.resize((36, 48))
    small.save(image(first + 3))
    image(first + 4).unlink()
    image(first + 6).write_bytes(image(first + 5).read_bytes())
    for place in (first, first + 1, first + 2, first + 3, first + 6):
        changed(place)
    rows[first + 7] = replace(rows[first + 7], category="kilt")
    write_catalogue_batch(root, rows)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A workspace of the rendered sample: a spoilt batch accepted with rows set aside, its photos, another rejected."""
    root = tmp_path_factory.mktemp("spring")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root / "site"))
        made = Places(root / "shop")
        made.root.mkdir()
        dvc_data.init(made.root)
        size = SampleSize(garments=GARMENTS, photos_each=1)
        spring = made.delivered("catalogue", "spring-2027"), made.delivered("street", "spring-2027")
        deliver_sample(*spring, size=size, workers=1)
        spoil(spring[0], first=8)
        assert accept(made, "catalogue", "spring-2027", "ann").status == "accepted_with_quarantine"
        accept(made, "street", "spring-2027", "ann")
        small = SampleSize(garments=12, photos_each=1)
        deliver_sample(made.delivered("catalogue", "late"), root / "unused", size=small, first=GARMENTS, workers=1)
        spoil(made.delivered("catalogue", "late"), first=2)
        assert accept(made, "catalogue", "late", "ann").status == "rejected"
    return made


@pytest.fixture(scope="module")
def address(places: Places) -> Iterator[str]:
    with listen(0) as listening:
        server = uvicorn.Server(uvicorn.Config(StewardPage(places).app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def opened(browser, address: str):
    """Opens a page of the given width and colours; afterwards: it complained of nothing and asked no other host."""
    contexts, complaints, foreign = [], [], []

    def open_page(path: str, width: int = 1280, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if complains(message) else None)
        page.on("request", lambda one: None if one.url.startswith(address) else foreign.append(one.url))
        page.goto(address + path)
        contexts.append(context)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == [] and foreign == []


def complains(message) -> bool:
    """Whether a console message tells of a fault of the page; Data Docs come without some of theirs."""
    text = message.text
    return message.type == "error" and "404 (Not Found)" not in text and "/report/data_docs/" not in text


def keep(page, name: str) -> None:
    folder = os.environ.get("THREADLINE_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def sound(page) -> bool:
    """Whether axe-core finds nothing serious, and nothing has to be scrolled sideways."""
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert serious == [], [(one["id"], one["nodes"][0]["html"]) for one in serious]
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_it_can_be_read_on_any_screen(opened, width: int, scheme: str) -> None:
    page = opened("/", width, scheme)
    expect(page.get_by_role("heading", name="Waiting for a decision")).to_be_visible()
    assert sound(page)
    keep(page, f"list-{width}-{scheme}")
    for batch in ("spring-2027", "late"):
        page.goto(page.url.partition("/batches")[0].rstrip("/") + f"/batches/catalogue/{batch}")
        assert sound(page)
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        keep(page, f"{batch}-{width}-{scheme}")


def test_a_steward_releases_a_row_and_rejects_a_batch_by_keyboard_alone(opened, places: Places) -> None:
    page = opened("/batches/catalogue/spring-2027")
    ticks = page.get_by_role("checkbox")
    many = ticks.count()
    blank = page.locator("li.card", has_text="the picture is blank").get_by_role("checkbox")
    key = blank.get_attribute("value")
    blank.focus()
    page.keyboard.press("Space")
    expect(blank).to_be_checked()
    page.get_by_label("Reason").focus()
    page.keyboard.type("it is a white shirt")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Released as catalogue/spring-2027-released-1.")).to_be_visible(timeout=120_000)
    expect(page.get_by_role("checkbox")).to_have_count(many - 1)
    assert read_ledger(places.data)[-1].reason == "it is a white shirt"
    expect(page.locator("li.card", has_text=str(key)).first).to_contain_text("settled")

    page.get_by_role("link", name="All batches").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="catalogue/late").focus()
    page.keyboard.press("Enter")
    reject = page.locator("form", has=page.get_by_role("heading", name="Reject"))
    reject.get_by_label("Reason").focus()
    page.keyboard.type("pictures of another shop")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Turned away.")).to_be_visible(timeout=120_000)
    assert not places.delivered("catalogue", "late").exists()


def test_a_reason_is_asked_for_before_anything_is_sent(opened, places: Places) -> None:
    before = read_ledger(places.data)
    page = opened("/batches/catalogue/spring-2027")
    page.get_by_role("button", name="Release all").click()
    expect(page.get_by_label("Reason")).to_be_focused()
    assert read_ledger(places.data) == before


def test_the_report_and_the_csv_are_one_click_away(opened) -> None:
    page = opened("/batches/catalogue/spring-2027")
    with page.expect_download() as download:
        page.get_by_role("link", name="What to correct").click()
    assert download.value.suggested_filename == "catalogue-spring-2027-to-correct.csv"
    page.get_by_role("link", name="Data Docs").click()
    page.wait_for_load_state()
    expect(page.get_by_role("heading", name="Data Docs: catalogue spring-2027")).to_be_visible()
    page.get_by_role("link", name="images").click()
    page.wait_for_load_state()
    expect(page.get_by_text("Expectation Validation Result").first).to_be_visible()
    keep(page, "data-docs")
