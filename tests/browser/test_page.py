"""The page in a real browser: Debian's Chromium, driven by Playwright. THREADLINE_SCREENSHOTS=DIR keeps pictures."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from serving.app import create_app
from tests.serving.fixtures import empty_registry, open_shop, until
from tests.serving.shop import Shop

CHROMIUM = Path("/usr/bin/chromium")
playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = playwright_api.expect
if not CHROMIUM.exists():
    pytest.skip(f"{CHROMIUM} is not installed", allow_module_level=True)

__all__ = ["empty_registry", "open_shop"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(open_shop: Shop) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(open_shop.settings), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        until(lambda: server.started and httpx.get(f"{url}/readyz").status_code == 200)
        yield url
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (360, "light")], ids=lambda one: f"{one[0]}-{one[1]}")
def page(request: pytest.FixtureRequest, browser, address: str):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if complains(message) else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.foreign = []
    page.on(
        "request", lambda one: None if one.url.startswith((address, "blob:", "data:")) else page.foreign.append(one)
    )
    page.goto(address)
    yield page
    assert page.complaints == [] and page.foreign == []
    context.close()


def complains(message) -> bool:
    """Whether a console message tells of a fault of the page; a refused request is none."""
    return message.type == "error" and "Failed to load resource" not in message.text


def choose(page, shop: Shop, article_id: str) -> None:
    page.set_input_files("#file", {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": shop.photo(article_id)})
    expect(page.locator("#results li").first).to_be_visible()


def names(page) -> list[str]:
    return page.locator("#results .name").all_text_contents()


def keep(page, request: pytest.FixtureRequest) -> None:
    folder = os.environ.get("THREADLINE_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(300)
        page.screenshot(path=str(Path(folder) / f"{request.node.name}.png"), full_page=True)


def does_not_scroll_sideways(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_photo_becomes_articles(page, open_shop: Shop, request: pytest.FixtureRequest) -> None:
    assert page.locator("#status").text_content() == "No photo yet."
    expect(page.locator("#release")).to_contain_text("Release 1, fashion2shop, 12 articles")
    assert does_not_scroll_sideways(page)
    choose(page, open_shop, "a5")
    assert names(page)[0] == "Article 5" and len(names(page)) == 12
    assert "12 articles in" in page.locator("#status").text_content()
    assert page.locator("#segmented").is_visible()
    assert "the person" in page.locator("#segmented-caption").text_content()
    assert page.evaluate("[...document.images].every((image) => image.alt)")
    assert does_not_scroll_sideways(page)
    keep(page, request)


def test_categories_narrow_the_articles(page, open_shop: Shop, request: pytest.FixtureRequest) -> None:
    choose(page, open_shop, "a5")
    page.get_by_role("button", name="shirt", exact=True).click()
    expect(page.locator("#results li")).to_have_count(4)
    assert page.get_by_role("button", name="shirt", exact=True).get_attribute("aria-pressed") == "true"
    keep(page, request)
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("#results li")).to_have_count(12)


def test_similar_articles_and_back_by_keyboard(page, open_shop: Shop, request: pytest.FixtureRequest) -> None:
    choose(page, open_shop, "a5")
    page.locator("#results button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#results li")).to_have_count(11)
    assert page.locator("#results-heading").text_content() == "Similar to Article 5"
    keep(page, request)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "back"
    page.keyboard.press("Enter")
    expect(page.locator("#results li")).to_have_count(12)
    assert names(page)[0] == "Article 5"


def test_the_photo_can_be_chosen_by_keyboard(page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"


def test_a_refusal_is_said(page, request: pytest.FixtureRequest) -> None:
    page.set_input_files("#file", {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    expect(page.locator("#status.bad")).to_contain_text("picture")
    keep(page, request)


def test_a_photo_can_be_dropped_and_pasted(page, open_shop: Shop) -> None:
    for kind, article_id in (("drop", "a2"), ("paste", "a3")):
        page.evaluate(
            """([kind, bytes]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "p.jpg", { type: "image/jpeg" }));
                const event = kind === "drop"
                    ? new DragEvent("drop", { dataTransfer: data, cancelable: true, bubbles: true })
                    : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
                document.getElementById("drop").dispatchEvent(event);
            }""",
            [kind, list(open_shop.photo(article_id))],
        )
        expect(page.locator("#results .name").first).to_have_text(f"Article {article_id[1:]}")
