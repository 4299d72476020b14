from __future__ import annotations

import base64
import io
from collections.abc import Callable

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
    answer = search(client, open_shop.photo("a3"), overlay="true")
    assert answer["person_found"] is True
    assert answer["person_share"] == pytest.approx(80 * 80 / (160 * 120), abs=0.04)
    assert list(answer["took_ms"]) == ["decode", "segment", "encode", "search"]
    encoded = answer["overlay"].removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as overlay:
        alpha = np.asarray(overlay.getchannel("A"))
    height, width = alpha.shape
    assert height / width == 160 / 120
    assert alpha[height // 2, width // 2] == 0 and alpha[2, 2] == 255  # clear on the person, opaque beside
    assert search(client, open_shop.photo("a3"))["overlay"] is None


def test_a_photo_without_anybody_is_searched_as_it_is(client: TestClient) -> None:
    answer = search(client, png(np.full((50, 40, 3), 255, dtype=np.uint8)))
    assert answer["person_found"] is False and answer["person_share"] == 0
    assert len(answer["results"]) == 10


FILTERS: list[tuple[dict[str, object], Callable[[int], bool]]] = [
    ({"category": "shirt", "assortment": "summer"}, lambda n: n % 3 == 1 and n % 2 == 1),
    ({"attribute": "colour=red"}, lambda n: n % 2 == 0),
    ({"attribute": ["colour=red", "colour=green"]}, lambda n: True),
    ({"attribute": ["colour=red", "fit. [eu]=slim"]}, lambda n: n % 2 == 0 and n >= 6),
    ({"attribute": "colour=blue"}, lambda n: False),
    ({"price_min": 12, "price_max": 15.0}, lambda n: 2 <= n <= 5),
    ({"in_stock": "true"}, lambda n: n % 4 != 0),
    ({"in_stock": "true", "price_max": 12, "category": "dress"}, lambda n: False),
    ({"category": "", "assortment": "", "attribute": "", "in_stock": "false"}, lambda n: True),
]


@pytest.mark.parametrize(("fields", "passes"), FILTERS, ids=lambda one: str(one) if isinstance(one, dict) else "")
def test_filters(client: TestClient, open_shop: Shop, fields: dict[str, object], passes: Callable[[int], bool]) -> None:
    expected = {f"a{number}" for number in range(12) if passes(number)}
    found = {one["article_id"] for one in search(client, open_shop.photo("a0"), k=200, **fields)["results"]}
    assert found == expected
    similar = client.get("/v1/articles/a0/similar", params={"k": 200, **fields}).json()
    assert {one["article_id"] for one in similar["results"]} == expected - {"a0"}
    files = {"photo": ("p.jpg", open_shop.photo("a4"), "image/jpeg")}
    looked = client.post("/v1/look", files=files, data={"k": 50, **fields}).json()
    assert {one["article_id"] for each in looked["categories"] for one in each["results"]} == expected


def test_describes_articles(client: TestClient, open_shop: Shop) -> None:
    found = search(client, open_shop.photo("a4"), k=1)["results"][0]
    assert found["name"] == "Article 4" and found["price"] == 14.0 and found["attributes"]["colour"] == "red"
    assert found["rerank_score"] is None


def test_reranks(client: TestClient, open_shop: Shop) -> None:
    answer = search(client, open_shop.photo("a0"), k=12, rerank="neural")
    logits = [one["rerank_score"] for one in answer["results"]]
    assert logits == sorted(logits, reverse=True)
    lightness = {key: float(picture.mean()) for key, picture in open_shop.pictures.items()}
    assert lightness[answer["results"][0]["article_id"]] == max(lightness.values())
    assert "rerank" in answer["took_ms"]


def test_orders_by_k_reciprocal_neighbours(client: TestClient, open_shop: Shop) -> None:
    answer = search(client, open_shop.photo("a4"), k=12, rerank="k-reciprocal")
    assert answer["results"][0]["article_id"] == "a4"
    assert {one["article_id"] for one in answer["results"]} == set(open_shop.pictures)
    assert "rerank" in answer["took_ms"]


def test_diversity_makes_the_articles_differ_more(client: TestClient, open_shop: Shop) -> None:
    plain, diverse = (search(client, open_shop.photo("a4"), k=4, diversity=weight)["results"] for weight in (0, 0.7))
    assert plain[0] == diverse[0]
    assert likeness(open_shop, diverse) < likeness(open_shop, plain)


def likeness(shop: Shop, results: list[dict]) -> float:
    vectors = np.stack([shop.pictures[one["article_id"]].ravel().astype(np.float64) for one in results])
    return float(np.corrcoef(vectors)[np.triu_indices(len(vectors), 1)].mean())


def test_looks_for_each_category(client: TestClient, open_shop: Shop) -> None:
    files = {"photo": ("p.jpg", open_shop.photo("a4"), "image/jpeg")}
    answer = client.post("/v1/look", files=files, data={"k": 2}).json()
    assert [len(each["results"]) for each in answer["categories"]] == [2, 2, 2]
    assert {each["category"] for each in answer["categories"]} == set(CATEGORIES)
    assert answer["categories"][0]["results"][0]["article_id"] == "a4"
    best = [each["results"][0]["score"] for each in answer["categories"]]
    assert best == sorted(best, reverse=True)
    for each in answer["categories"]:
        assert {one["category"] for one in each["results"]} == {each["category"]}
    fewer = client.post("/v1/look", files=files, data={"k": 2, "categories": 1}).json()
    assert fewer["categories"] == answer["categories"][:1]
    assert answer["release"] == "1" and answer["person_found"] is True


def test_similar_articles(client: TestClient) -> None:
    answer = client.get("/v1/articles/a2/similar", params={"k": 200}).json()
    assert len(answer["results"]) == 11 and answer["release"] == "1"
    assert "a2" not in {one["article_id"] for one in answer["results"]}


def test_one_article(client: TestClient) -> None:
    answer = client.get("/v1/articles/a7").json()
    assert answer["article"]["name"] == "Article 7" and answer["article"]["in_stock"] is True
    assert answer["release"] == "1" and answer["collection"].startswith("c1/")


def test_images_are_found_through_the_answer(client: TestClient, open_shop: Shop) -> None:
    found = search(client, open_shop.photo("a4"), k=1)["results"][0]
    answer = client.get(found["image_url"])
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["threadline-release"] == "1" and answer.headers["threadline-collection"].startswith("c1/")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert np.array_equal(np.asarray(image), open_shop.pictures["a4"])


def test_release(client: TestClient) -> None:
    answer = client.get("/v1/release").json()
    assert answer["version"] == "1" and answer["articles"] == 12 and answer["method"] == "fashion2shop"
    assert answer["data_version"] == "data-1" and answer["code_version"] == "code-1"
    assert answer["segments"] is True and answer["rerankings"] == ["neural", "k-reciprocal"]
    assert answer["k_reciprocal_gain"] == 0.01
    assert answer["categories"] == {"dress": 4, "shirt": 4, "skirt": 4}


def test_probes_and_counters(client: TestClient, open_shop: Shop) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ready", "problem": None}
    search(client, open_shop.photo("a1"))
    counted = client.get("/metrics").text
    assert 'threadline_requests_total{method="POST",route="/v1/search",status="200"}' in counted
    assert 'threadline_stage_seconds_count{stage="segment"}' in counted
    assert 'threadline_stage_seconds_count{stage="serialise"}' in counted
    assert 'threadline_release_info{collection="c1' in counted
    assert "threadline_ready 1.0" in counted and "threadline_searches_in_progress 0.0" in counted


def test_unknown_paths_and_methods_are_counted_under_one_name(client: TestClient) -> None:
    client.get("/made-up-path")
    client.request("MADEUP", "/")
    counted = client.get("/metrics").text
    assert "made-up-path" not in counted and 'route="other"' in counted
    assert "MADEUP" not in counted and 'method="other"' in counted


def test_the_page_and_its_headers(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "//" not in answer.text.replace("<!doctype", "").replace("http://www.w3.org", "")
    for name in ("page.css", "colours.css", "page.js", "icon.svg"):
        assert client.get(f"/page/{name}").status_code == 200


def test_the_description_names_every_route_with_examples(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    paths = description["paths"]
    assert {"/v1/search", "/v1/look", "/v1/release", "/v1/articles/{article_id}", "/healthz", "/readyz"} <= set(paths)
    refused = paths["/v1/search"]["post"]["responses"]
    assert {"413", "415", "422", "429", "503"} <= set(refused)
    assert all("application/problem+json" in refused[status]["content"] for status in ("415", "422", "429"))
    bodies = ("SearchAnswer", "LookAnswer", "Articles", "ArticleAnswer", "ReleaseAnswer")
    assert all(description["components"]["schemas"][name]["examples"] for name in bodies)


def operations(client: TestClient) -> dict[str, dict]:
    paths = client.get("/openapi.json").json()["paths"]
    return {f"{method} {path}": one for path, methods in paths.items() for method, one in methods.items()}


def test_every_refusal_is_described_by_examples_of_its_own(client: TestClient) -> None:
    described = operations(client)
    assert {"get /metrics", "get /readyz", "post /v1/release/refresh"} <= set(described)
    kinds: dict[str, set[str]] = {}
    for operation in described.values():
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            examples = answer["content"]["application/problem+json"]["examples"]
            kinds.setdefault(status, set()).update(examples)
            for kind, example in examples.items():
                assert example["value"]["type"] == f"urn:threadline:problem:{kind}"
                assert example["value"]["status"] == int(status) and example["value"]["detail"]
            assert ("Retry-After" in answer["headers"]) == (status in ("429", "503"))
    assert kinds["413"] == {"too-large", "too-many-pixels"} and kinds["404"] == {"unknown-article", "no-image"}
    assert kinds["503"] == {"no-release", "index-unavailable", "deadline"} and kinds["429"] == {"busy"}
    only_search = described["post /v1/search"]["responses"]["422"]["content"]["application/problem+json"]["examples"]
    assert "no-reranker" in only_search and only_search["invalid-request"]["value"]["errors"]
    assert "422" not in described["get /v1/release"]["responses"]


def test_every_parameter_and_field_has_an_example(client: TestClient) -> None:
    for name, operation in operations(client).items():
        for parameter in operation.get("parameters", []):
            assert parameter["schema"]["examples"], (name, parameter["name"])
    for name, schema in client.get("/openapi.json").json()["components"]["schemas"].items():
        if name.startswith("Body_"):
            bare = [field for field, one in schema["properties"].items() if not one.get("examples")]
            assert bare == ["photo"], name


def test_the_documentation_and_the_samples_come_from_here(client: TestClient) -> None:
    assert "openapi" in client.get("/page/docs.js").text
    assert client.get("/docs").status_code == 200
    names = client.get("/samples").json()
    assert names
    with Image.open(io.BytesIO(client.get(f"/samples/{names[0]}").content)) as sample:
        assert min(sample.size) > 100


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
