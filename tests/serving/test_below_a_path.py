"""Behind a proxy that serves the application below a path, which it takes away from addresses or leaves in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.keys import add_key
from tests.serving.fixtures import until
from tests.serving.shop import Shop

ROOT = "/shop/search"


@pytest.fixture(scope="module")
def below(open_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    headers = {"Authorization": f"Bearer {add_key(keys, 'shop')}"}
    settings = open_shop.settings.model_copy(update={"root_path": ROOT, "api_keys": keys})
    with TestClient(create_app(settings), headers=headers) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.mark.parametrize("kept", ["", ROOT], ids=["taken away", "left in"])
def test_addresses_of_images_lead_through_the_proxy(below: TestClient, open_shop: Shop, kept: str) -> None:
    photo = {"photo": open_shop.photo("a3")}
    found = below.post(f"{kept}/v1/search", files=photo).json()["results"][0]
    look = below.post(f"{kept}/v1/look", files=photo).json()["categories"][0]["results"][0]
    article = below.get(f"{kept}/v1/articles/a3").json()["article"]
    for one in (found, look, article):
        assert one["image_url"] == f"{ROOT}/v1/articles/a3/image"
    similar = below.get(f"{kept}/v1/articles/a3/similar").json()["results"]
    assert all(one["image_url"].startswith(f"{ROOT}/v1/articles/") for one in similar)
    assert below.get(found["image_url"]).headers["content-type"] == "image/png"


@pytest.mark.parametrize("kept", ["", ROOT], ids=["taken away", "left in"])
def test_the_same_paths_need_a_key_there(below: TestClient, kept: str) -> None:
    nobody = {"Authorization": ""}
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/page/page.js", "/samples"):
        assert below.get(f"{kept}{path}", headers=nobody).status_code == 200, path
    for path in ("/metrics", "/v1/release", "/v1/articles/a0", "/healthz/../metrics", "/v1/articles/page/a0"):
        assert below.get(f"{kept}{path}", headers=nobody).status_code == 401, path


@pytest.mark.parametrize("kept", ["", ROOT], ids=["taken away", "left in"])
def test_requests_are_counted_under_their_routes(below: TestClient, kept: str) -> None:
    assert below.get(f"{kept}/samples").status_code == 200
    assert 'route="/samples",status="200"' in below.get(f"{kept}/metrics").text


@pytest.mark.parametrize("path", ["/shop/v1/release", "/shop/searchv1/release", "/page/../v1/release", ROOT])
def test_what_is_not_below_the_path_is_not_open(below: TestClient, path: str) -> None:
    assert below.get(path, headers={"Authorization": ""}).status_code == 401


def test_the_description_says_where_the_api_is(below: TestClient) -> None:
    assert {"url": ROOT} in below.get("/openapi.json").json()["servers"]
