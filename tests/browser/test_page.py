"""The page in a real browser: Debian's Chromium, driven by Playwright. THREADLINE_SCREENSHOTS=DIR keeps pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from serving.keys import add_key
from tests.serving.fixtures import empty_registry, open_shop, serving, until
from tests.serving.shop import Shop

__all__ = ["empty_registry", "open_shop"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(open_shop: Shop) -> Iterator[str]:
    with serving(open_shop.settings) as url:
        yield url


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (360, "light")], ids=lambda one: f"{one[0]}-{one[1]}")
def page(request: pytest.FixtureRequest, browser, address: str):
    width, scheme = request.param
    with opened(browser, address, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        yield page


@contextmanager
def opened(browser, address: str, path: str = "/", **options: object) -> Iterator:
    """A page of the service; afterwards: it complained of nothing and asked no other host."""
    context = browser.new_context(**options)
    page = context.new_page()
    complaints, foreign = [], []
    page.on("console", lambda message: complaints.append(message.text) if complains(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith((address, "blob:", "data:")) else foreign.append(one.url))
    page.goto(address + path)
    yield page
    assert complaints == [] and foreign == []
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


def accessible(page) -> list[str]:
    """What axe-core finds to be serious or worse."""
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in serious]


def test_a_photo_becomes_articles(page, open_shop: Shop, request: pytest.FixtureRequest) -> None:
    assert page.locator("#status").text_content() == "No photo yet."
    expect(page.locator("#release")).to_contain_text("Release 1, fashion2shop, 12 articles")
    assert does_not_scroll_sideways(page) and accessible(page) == []
    choose(page, open_shop, "a5")
    assert names(page)[0] == "Article 5" and len(names(page)) == 12
    assert "12 articles in" in page.locator("#status").text_content()
    assert page.evaluate("[...document.images].every((image) => image.alt || image.alt === '')")
    assert does_not_scroll_sideways(page) and accessible(page) == []
    keep(page, request)


def test_what_was_segmented_can_be_shown_and_hidden(page, open_shop: Shop, request: pytest.FixtureRequest) -> None:
    choose(page, open_shop, "a5")
    expect(page.locator("#overlay")).to_be_visible()
    expect(page.locator("#seen")).to_contain_text("the person, ")
    photo, overlay = (page.locator(one).bounding_box() for one in ("#original", "#overlay"))
    assert photo == overlay
    page.get_by_label("Show what was segmented").uncheck()
    expect(page.locator("#overlay")).to_be_hidden()
    keep(page, request)


def test_a_sample_is_searched(page) -> None:
    page.get_by_role("button", name="Sample photo 1").click()
    expect(page.locator("#results li").first).to_be_visible()
    expect(page.locator("#seen")).not_to_be_empty()


@pytest.mark.parametrize("gone", [False, True])
def test_a_sample_that_does_not_come_is_said_and_leaves_what_was_found(page, open_shop: Shop, gone: bool) -> None:
    choose(page, open_shop, "a5")
    page.route("**/samples/*", lambda route: route.fulfill(status=404, body="{}") if gone else route.abort())
    page.get_by_role("button", name="Sample photo 1").click()
    expect(page.locator("#status.bad")).to_contain_text("sample cannot be had")
    expect(page.locator("#results li")).to_have_count(12)
    page.unroute("**/samples/*")
    page.get_by_role("button", name="Sample photo 1").click()
    expect(page.locator("#status.bad")).to_have_count(0)


def test_the_title_is_never_that_of_the_article_before(page, open_shop: Shop) -> None:
    title = page.title()
    choose(page, open_shop, "a5")
    page.locator("#results a").first.click()
    expect(page).to_have_title(f"Article 5 \u2013 {title}")
    page.route("**/similar?*", lambda _: None)  # it never answers
    page.locator("#results a").first.click()
    expect(page).to_have_title(title)


def test_tabs_narrow_the_articles_by_mouse_and_by_keyboard(
    page, open_shop: Shop, request: pytest.FixtureRequest
) -> None:
    choose(page, open_shop, "a5")
    shirt = page.get_by_role("tab", name="shirt", exact=True)
    shirt.click()
    expect(page.locator("#results li")).to_have_count(4)
    expect(shirt).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel")).to_have_accessible_name("shirt")
    assert accessible(page) == []
    keep(page, request)
    page.keyboard.press("Home")
    expect(page.locator("#results li")).to_have_count(12)
    expect(page.get_by_role("tab", name="All")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#results li")).to_have_count(4)


def test_an_article_and_those_like_it_and_back_by_keyboard(
    page, open_shop: Shop, request: pytest.FixtureRequest
) -> None:
    choose(page, open_shop, "a5")
    page.locator("#results a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#results li")).to_have_count(11)
    expect(page.locator("#article-name")).to_have_text("Article 5")
    expect(page.locator("#article-facts")).to_contain_text("15.00")
    assert page.url.endswith("?article=a5")
    assert does_not_scroll_sideways(page) and accessible(page) == []
    keep(page, request)
    page.keyboard.press("Tab")
    expect(page.locator("#back")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#results li")).to_have_count(12)
    assert names(page)[0] == "Article 5" and "article=" not in page.url
    page.go_back()
    expect(page.locator("#article-name")).to_have_text("Article 5")


def test_going_back_before_the_article_is_there_shows_what_was_found(page, open_shop: Shop) -> None:
    choose(page, open_shop, "a5")
    page.route("**/similar?*", lambda _: None)  # it never answers
    page.locator("#results a").first.click()
    expect(page.locator("#status")).to_have_text("Searching…")
    page.go_back()
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("#results li")).to_have_count(12)
    expect(page.get_by_role("tab", name="All")).to_be_visible()
    expect(page.locator("#back")).to_be_hidden()


def test_the_photo_s_articles_come_back_under_their_own_tab(page, open_shop: Shop) -> None:
    choose(page, open_shop, "a5")
    page.route("**/v1/search", lambda _: None)  # the tab's search never answers
    page.get_by_role("tab", name="shirt", exact=True).click()
    page.locator("#results a").first.click()
    expect(page.locator("#article-name")).to_be_visible()
    page.locator("#back").click()
    expect(page.locator("#results li")).to_have_count(12)
    expect(page.get_by_role("tab", name="All")).to_have_attribute("aria-selected", "true")


def test_the_link_to_the_results_lets_a_search_go_on(page, open_shop: Shop) -> None:
    held = []
    page.route("**/v1/search", lambda route: held.append(route))
    page.locator("#file").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": open_shop.photo("a5")}
    )
    page.wait_for_function("document.querySelector('#status').textContent === 'Searching…'")
    page.locator("a.skip").focus()
    page.keyboard.press("Enter")
    held[0].continue_()
    expect(page.locator("#results li")).to_have_count(12)


def test_an_answer_that_breaks_off_is_said(page, open_shop: Shop) -> None:
    page.route("**/v1/search", lambda route: route.fulfill(status=200, content_type="application/json", body='{"res'))
    page.locator("#file").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": open_shop.photo("a5")}
    )
    expect(page.locator("#status")).to_have_text("The answer broke off. Try again.")


def test_a_shared_link_opens_the_article(browser, address: str) -> None:
    with opened(browser, address, "/?article=a7", permissions=["clipboard-read", "clipboard-write"]) as page:
        expect(page.locator("#article-name")).to_have_text("Article 7")
        expect(page.locator("#results li")).to_have_count(11)
        page.get_by_role("button", name="Copy a link").click()
        expect(page.locator("#status")).to_have_text("The link is copied.")
        assert page.evaluate("navigator.clipboard.readText()") == f"{address}/?article=a7"
        page.route("**/similar?*", lambda route: route.fulfill(status=503, body="{}"))
        page.locator("#results a").first.click()
        expect(page.locator("#status.bad")).to_be_visible()
        expect(page.locator("#article")).to_be_hidden()
    with opened(browser, address, "/?article=nobody") as page:
        expect(page.locator("#status.bad")).to_contain_text("No article 'nobody'")


def test_the_photo_can_be_chosen_by_keyboard(page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"


def test_a_phone_offers_its_camera(browser, address: str) -> None:
    with opened(browser, address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True) as page:
        expect(page.get_by_text("Take a photo")).to_be_visible()
        assert page.locator("#camera").get_attribute("capture") == "environment"


def test_a_refusal_is_said(page, request: pytest.FixtureRequest) -> None:
    page.set_input_files("#file", {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    expect(page.locator("#status.bad")).to_contain_text("picture")
    expect(page.locator("#figure")).to_be_hidden()
    assert accessible(page) == []
    keep(page, request)


def test_a_key_is_asked_for_where_one_is_needed(browser, open_shop: Shop, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "page")
    with (
        serving(open_shop.settings.model_copy(update={"api_keys": tmp_path / "keys"})) as address,
        opened(browser, address) as page,
    ):
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#status.bad")).to_contain_text("not one of")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key-form")).to_be_hidden()
        choose(page, open_shop, "a5")
        until(lambda: page.evaluate("document.querySelector('#results img').naturalWidth > 0"))


def test_a_picture_that_comes_late_is_not_shown_for_another_article(browser, open_shop: Shop, tmp_path: Path) -> None:
    key, late = add_key(tmp_path / "keys", "page"), []
    with (
        serving(open_shop.settings.model_copy(update={"api_keys": tmp_path / "keys"})) as address,
        opened(browser, address) as page,
    ):
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key-form")).to_be_hidden()
        page.route("**/articles/a5/image", lambda route: late.append(route))
        choose(page, open_shop, "a5")
        until(lambda: page.evaluate("document.querySelectorAll('#results img')[1].naturalWidth === 80"))
        page.locator("#results a").first.click()
        expect(page.locator("#article-name")).to_have_text("Article 5")
        page.locator("#results a").first.click()
        expect(page.locator("#article-name")).not_to_have_text("Article 5")
        until(lambda: page.evaluate("document.getElementById('article-image').naturalWidth === 80"))
        page.wait_for_timeout(100)
        for route in late:
            route.fulfill(path=smaller(tmp_path), content_type="image/png")
        page.wait_for_timeout(500)
        assert page.evaluate("document.getElementById('article-image').naturalWidth") == 80


def smaller(folder: Path) -> Path:
    """A picture of another size than those of the shop."""
    Image.new("RGB", (33, 33)).save(folder / "smaller.png")
    return folder / "smaller.png"


def test_the_documentation(browser, address: str, request: pytest.FixtureRequest) -> None:
    with opened(browser, address, "/docs", viewport={"width": 360, "height": 800}) as page:
        expect(page.get_by_role("heading", name="POST /v1/search")).to_be_visible()
        assert does_not_scroll_sideways(page) and accessible(page) == []
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
