from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.serving.shop import CATEGORIES, Shop


def search(client: TestClient, photo: bytes, **fields: object) -> dict:
    answer = client.post("/v1/search", files={"photo": ("p.jpg", photo, "image/jpeg")}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("article_id", ["a0", "a5", "a11"])
def test_finds_the_article_that_is_worn(client: TestClient, open_shop: Shop, article_id: str) -> None:
    answer = search(client, open_shop.photo(article_id), k=3)
    assert answer["results"][0]["article_id"] == article_id
    assert len(answer["results"]) == 3
    scores = [one["score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["release"] == "1"


def test_says_what_it_saw_and_how_long_it_took(client: TestClient, open_shop: Shop) -> None:
    answer = search(client, open_shop.photo("a3"), segmented="true")
    assert answer["person_found"] is True
    assert answer["person_share"] == pytest.approx(80 * 80 / (160 * 120), abs=0.04)
    assert set(answer["took_ms"]) == {"decode", "segment", "encode", "search"}
    encoded = answer["segmented"].removeprefix("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as seen:
        assert seen.height < 100 and seen.width < 100  # cut to the person


def test_a_photo_without_anybody_is_searched_as_it_is(client: TestClient) -> None:
    answer = search(client, png(np.full((50, 40, 3), 255, dtype=np.uint8)))
    assert answer["person_found"] is False and answer["person_share"] == 0
    assert len(answer["results"]) == 10


def test_filters(client: TestClient, open_shop: Shop) -> None:
    answer = search(client, open_shop.photo("a0"), category="shirt", assortment="summer", k=200)
    assert {one["article_id"] for one in answer["results"]} == {"a1", "a7"}
    assert all(one["category"] == "shirt" and one["assortments"] == ["summer"] for one in answer["results"])


def test_empty_filters_do_not_filter(client: TestClient, open_shop: Shop) -> None:
    assert len(search(client, open_shop.photo("a0"), category="", assortment="", k=50)["results"]) == 12


def test_describes_articles(client: TestClient, open_shop: Shop) -> None:
    found = search(client, open_shop.photo("a4"), k=1)["results"][0]
    assert found["name"] == "Article 4" and found["price"] == 14.0 and found["attributes"] == {"colour": "mixed"}
    assert found["rerank_score"] is None


def test_reranks(client: TestClient, open_shop: Shop) -> None:
    answer = search(client, open_shop.photo("a0"), k=12, rerank="true")
    logits = [one["rerank_score"] for one in answer["results"]]
    assert logits == sorted(logits, reverse=True)
    lightness = {key: float(picture.mean()) for key, picture in open_shop.pictures.items()}
    assert lightness[answer["results"][0]["article_id"]] == max(lightness.values())
    assert "rerank" in answer["took_ms"]


def test_looks_for_each_category(client: TestClient, open_shop: Shop) -> None:
    files = {"photo": ("p.jpg", open_shop.photo("a4"), "image/jpeg")}
    answer = client.post("/v1/look", files=files, data={"k": 2}).json()
    assert {one["category"] for one in answer["categories"]} == set(CATEGORIES)
    assert answer["categories"][0]["results"][0]["article_id"] == "a4"
    assert all(len(one["results"]) == 2 for one in answer["categories"])


def test_similar_articles_do_not_include_the_article(client: TestClient) -> None:
    answer = client.get("/v1/articles/a2/similar", params={"k": 200}).json()
    assert len(answer["results"]) == 11
    assert "a2" not in {one["article_id"] for one in answer["results"]}
    narrowed = client.get("/v1/articles/a2/similar", params={"category": "skirt"}).json()
    assert {one["article_id"] for one in narrowed["results"]} == {"a5", "a8", "a11"}


def test_images_are_found_through_the_answer(client: TestClient, open_shop: Shop) -> None:
    found = search(client, open_shop.photo("a4"), k=1)["results"][0]
    answer = client.get(found["image_url"])
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert np.array_equal(np.asarray(image), open_shop.pictures["a4"])


def test_release(client: TestClient) -> None:
    answer = client.get("/v1/release").json()
    assert answer["version"] == "1" and answer["articles"] == 12 and answer["method"] == "fashion2shop"
    assert answer["data_version"] == "data-1" and answer["code_version"] == "code-1"
    assert answer["segments"] is True and answer["reranks"] is True


def test_probes_and_counters(client: TestClient, open_shop: Shop) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ready", "problem": None}
    search(client, open_shop.photo("a1"))
    counted = client.get("/metrics").text
    assert 'threadline_requests_total{method="POST",route="/v1/search",status="200"}' in counted
    assert 'threadline_stage_seconds_count{stage="segment"}' in counted
    assert 'threadline_release_info{collection="c1' in counted


def test_unknown_paths_are_counted_under_one_name(client: TestClient) -> None:
    client.get("/made-up-path")
    counted = client.get("/metrics").text
    assert "made-up-path" not in counted and 'route="other"' in counted


def test_the_page_and_its_headers(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "//" not in answer.text.replace("<!doctype", "").replace("http://www.w3.org", "")
    for name in ("page.css", "page.js", "icon.svg"):
        assert client.get(f"/page/{name}").status_code == 200


def test_the_description_names_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/search", "/v1/look", "/v1/release", "/healthz", "/readyz"} <= set(paths)


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
