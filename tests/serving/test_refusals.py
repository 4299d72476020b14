"""Every refusal is a problem document that says what is wrong."""

from __future__ import annotations

import io
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, features
from qdrant_client import QdrantClient
from starlette.types import Receive, Scope, Send

from contracts.index import ArticleFilter
from serving.app import create_app
from serving.index.server import ServerCollection
from serving.middleware import SECURITY_HEADERS, Failures
from serving.settings import Settings
from serving.stages import DeadlinePassed, Stages
from tests.serving.fixtures import address_of, serving, until
from tests.serving.shop import Shop


def refused(answer: httpx.Response, status: int, kind: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:threadline:problem:{kind}"
    assert body["status"] == status and body["title"] and body["detail"]
    return body


def send(client: TestClient, photo: bytes, **fields: object) -> httpx.Response:
    return client.post("/v1/search", files={"photo": ("p", photo, "image/png")}, data=fields)


def picture(height: int, width: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), dtype=np.uint8)).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def strict(open_shop: Shop):
    """A service over the shop that takes small photos only."""
    settings = open_shop.settings.model_copy(update={"photo_bytes": 50_000, "photo_pixels": 10_000})
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.fixture(scope="module")
def unpublished(tmp_path_factory: pytest.TempPathFactory):
    with TestClient(create_app(Settings(home=tmp_path_factory.mktemp("home"), poll_s=0.05))) as client:
        yield client


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4"])
def test_not_an_image(client: TestClient, data: bytes) -> None:
    refused(send(client, data), 415, "not-an-image")


def test_a_truncated_image(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (100, 100, 3), dtype=np.uint8)).save(buffer, format="JPEG")
    refused(send(client, buffer.getvalue()[:1500]), 422, "unusable-image")


def test_a_tiny_image(client: TestClient) -> None:
    assert "under 16" in refused(send(client, picture(4, 100)), 422, "unusable-image")["detail"]


def test_too_many_pixels(strict: TestClient) -> None:
    refused(send(strict, picture(101, 100)), 413, "too-many-pixels")
    assert send(strict, picture(100, 100)).status_code == 200


def test_a_decompression_bomb(client: TestClient) -> None:
    side = 60_000
    head = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(side))) + chunk(b"IEND", b"")
    )
    refused(send(client, bomb), 413, "too-many-pixels")


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def test_too_many_bytes_in_the_photo(strict: TestClient) -> None:
    refused(send(strict, b"x" * 50_001), 413, "too-large")


def test_an_announced_body_that_is_too_long_is_not_read(strict: TestClient) -> None:
    refused(send(strict, b"x" * 500_000), 413, "too-large")


def test_an_unannounced_body_is_cut_off(strict: TestClient) -> None:
    sent = 0

    def body():
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n'
        while sent < 10_000_000:
            sent += 10_000
            yield b"x" * 10_000

    headers = {"content-type": "multipart/form-data; boundary=b"}
    refused(strict.post("/v1/search", content=body(), headers=headers), 413, "too-large")


@pytest.mark.parametrize("k", ["0", "201", "many"])
def test_k_out_of_range(client: TestClient, k: str) -> None:
    body = refused(send(client, picture(50, 50), k=k), 422, "invalid-request")
    assert body["errors"][0]["field"] == "k"


def test_no_photo(client: TestClient) -> None:
    assert refused(client.post("/v1/search"), 422, "invalid-request")["errors"][0]["field"] == "photo"


def test_a_form_that_is_none(client: TestClient) -> None:
    answer = client.post("/v1/search", content=b"junk", headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_article(client: TestClient) -> None:
    refused(client.get("/v1/articles/nobody/similar"), 404, "unknown-article")
    refused(client.get("/v1/articles/nobody/image"), 404, "unknown-article")


def test_unknown_path_and_method(client: TestClient) -> None:
    refused(client.get("/v2/search"), 404, "not-found")
    refused(client.get("/page/nothing.js"), 404, "not-found")
    answer = client.get("/v1/search")
    refused(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def test_why_there_is_no_release_is_for_the_log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise ConnectionError("postgresql://threadline:hunter2@db.internal/mlflow refused")

    monkeypatch.setattr("serving.registry.MlflowRegistry.champion", away)
    with TestClient(create_app(shop.settings)) as client:
        until(lambda: "registry" in client.get("/readyz").text)
        for answer in (client.get("/readyz"), client.get("/v1/release"), send(client, picture(50, 50))):
            detail = refused(answer, 503, "no-release")["detail"]
            assert "the service's log" in detail
            assert "hunter2" not in answer.text and "db.internal" not in answer.text


def test_no_release_yet(unpublished: TestClient) -> None:
    assert unpublished.get("/healthz").status_code == 200
    for answer in (
        unpublished.get("/readyz"),
        unpublished.get("/v1/release"),
        unpublished.get("/v1/articles/a0/similar"),
        unpublished.get("/v1/articles/a0/image"),
        send(unpublished, picture(50, 50)),
    ):
        refused(answer, 503, "no-release")
        assert int(answer.headers["retry-after"]) > 0


def test_a_registry_that_does_not_exist_is_not_made(unpublished: TestClient) -> None:
    settings: Settings = unpublished.app.state.service.settings  # type: ignore[attr-defined]
    assert not (settings.home / "mlflow").exists()


def test_a_failure_does_not_tell_of_the_inside(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.search.Searcher.similar", lambda *_: 1 / 0)
    body = refused(client.get("/v1/articles/a0/similar"), 500, "failed")
    assert "division" not in body["detail"]


def test_a_failure_is_told_in_the_log_and_has_the_headers_of_every_answer(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = open_shop.settings.model_copy(update={"cors_origins": ("https://shop.example",)})
    with TestClient(create_app(settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        monkeypatch.setattr("serving.search.Searcher.similar", lambda *_: 1 / 0)
        answer = client.get("/v1/articles/a0/similar", headers={"Origin": "https://shop.example"})
        refused(answer, 500, "failed")
        assert SECURITY_HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert 'route="/v1/articles/{article_id:path}/similar",status="500"' in client.get("/metrics").text
    assert "ZeroDivisionError" in caplog.text


def test_a_failure_within_an_answer_breaks_it_off() -> None:
    async def begun(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TestClient(Failures(begun)).get("/")


def test_rerank_without_a_reranker(shop: Shop) -> None:
    shop.release(shop.package(1))
    with TestClient(create_app(shop.settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        refused(send(client, shop.photo("a0"), rerank="neural"), 422, "no-reranker")


@pytest.fixture
def stuck(open_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    """Makes services whose first search hangs until the test is over."""
    go_on, entered = threading.Event(), threading.Event()
    with ExitStack() as stack:

        def slow(*_: object) -> None:
            entered.set()
            go_on.wait(20)
            raise ZeroDivisionError

        def make(**settings: object) -> TestClient:
            app = create_app(open_shop.settings.model_copy(update={"concurrent": 1, **settings}))
            client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
            until(lambda: client.get("/readyz").status_code == 200)
            monkeypatch.setattr("serving.routes.decode_photo", slow)
            first = threading.Thread(target=send, args=(client, picture(50, 50)))
            stack.callback(first.join)
            stack.callback(go_on.set)
            first.start()
            assert entered.wait(20)
            return client

        yield make


def test_a_full_line_says_when_to_come_again(stuck: Callable[..., TestClient]) -> None:
    client = stuck(queue=0)
    answer = send(client, picture(50, 50))
    refused(answer, 429, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert client.get("/readyz").status_code == 200  # it still answers those who have a place
    assert client.get("/v1/articles/a0/similar").status_code == 200  # lookups have a line of their own
    assert "threadline_searches_in_progress 1.0" in client.get("/metrics").text


def test_what_waits_or_takes_too_long_is_refused_in_time(stuck: Callable[..., TestClient]) -> None:
    client = stuck(queue=5, deadline_s=0.3)
    start = time.monotonic()
    refused(send(client, picture(50, 50)), 503, "deadline")
    assert time.monotonic() - start < 5


def test_a_release_begins_no_stage_after_the_deadline() -> None:
    stages = Stages(time.monotonic() - 1)
    with pytest.raises(DeadlinePassed), stages.stage("search"):
        pass
    assert stages.took_ms == {}


def test_a_look_ends_between_two_categories_when_its_time_is_over(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.search._NEAR", 5)  # of more articles than the first search shows
    with client.app.state.service.current.lease() as searcher:  # type: ignore[attr-defined]
        seen = searcher.see(np.zeros((50, 50, 3), dtype=np.uint8), Stages())
        stages, held = Stages(time.monotonic() + 0.5), searcher.collection
        searched: list[object] = []

        class Slow:
            def search(self, *asked: object) -> object:
                searched.append(asked)
                time.sleep(0.6)
                return held.search(*asked)

        searcher.categories()
        searcher.collection = Slow()
        try:
            with pytest.raises(DeadlinePassed):
                searcher.look(seen, 5, ArticleFilter(), 8, stages)
        finally:
            searcher.collection = held
    assert len(searched) == 1


def test_a_slow_upload_is_cut_off(open_shop: Shop) -> None:
    settings = open_shop.settings.model_copy(update={"upload_s": 0.3})
    with serving(settings) as url, socket.create_connection(address_of(url)) as connection:
        head = b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_heic_photo_is_refused_in_words_for_its_owner(client: TestClient) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    assert "JPEG" in refused(send(client, heic), 415, "not-an-image")["detail"]


def test_a_heif_picture_of_any_other_kind_is_none_that_is_read(client: TestClient) -> None:
    hevc = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf" + bytes(100)
    assert "JPEG" in refused(send(client, hevc), 415, "not-an-image")["detail"]
    later = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"avif"  # behind the box of the brands
    assert "JPEG" in refused(send(client, later), 415, "not-an-image")["detail"]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("major", [b"mif1", b"msf1"])
def test_an_avif_picture_under_the_general_brand(client: TestClient, major: bytes) -> None:
    photo = picture(60, 50, "AVIF")
    assert photo[4:12] == b"ftypavif"
    assert send(client, photo[:8] + major + photo[12:]).status_code == 200


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(client: TestClient, strict: TestClient) -> None:
    assert send(client, picture(60, 50, "AVIF")).status_code == 200
    refused(send(strict, picture(150, 100, "AVIF")), 413, "too-many-pixels")
    refused(send(client, picture(60, 50, "AVIF")[:-20]), 422, "unusable-image")


def test_a_jpeg_made_to_keep_the_reader_busy(client: TestClient) -> None:
    photo = picture(64, 64, "JPEG")
    scan, end = photo[photo.index(b"\xff\xda") : -2], photo[-2:]
    for between in (b"", b"\xff\xff", b"\xff\xd3", b"\xff\x02\xff\xff", b"\xff\xfe\x00\x00", b"\xff\xfe\x00\x04me"):
        made = photo[:-2] + (between + scan) * 100 + end
        assert "scans" in refused(send(client, made), 422, "unusable-image")["detail"]
    made = photo[:-2] + b"\xff\xfe\x00\x02" * 2_000 + end
    assert "segments" in refused(send(client, made), 422, "unusable-image")["detail"]


def test_a_jpeg_with_a_film_behind_it_and_a_small_picture_before(client: TestClient) -> None:
    photo, many = picture(64, 64, "JPEG"), b"\xff\xda" * 500
    preview = b"\xff\xe1" + (2 + len(many)).to_bytes(2, "big") + many
    assert send(client, photo[:2] + preview + photo[2:] + many).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"attribute": "colour"},
        {"attribute": "=red"},
        {"attribute": 'col"our=red'},
        {"attribute": ["a=b"] * 33},
        {"price_min": "nan"},
        {"price_min": -1},
        {"price_min": 5, "price_max": 4},
        {"category": "x" * 201},
        {"diversity": 1},
        {"rerank": "yes"},
    ],
    ids=str,
)
def test_a_field_that_makes_no_sense(client: TestClient, fields: dict[str, object]) -> None:
    body = refused(send(client, picture(50, 50), **fields), 422, "invalid-request")
    assert body["errors"][0]["field"].split(".")[0] == next(iter(fields))


def test_a_qdrant_that_is_away_is_told_and_comes_back(shop: Shop) -> None:
    shop.release(shop.package(1))
    with TestClient(create_app(shop.settings), raise_server_exceptions=False) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        with client.app.state.service.current.lease() as searcher:  # type: ignore[attr-defined]
            held = searcher.collection
            with socket.create_server(("127.0.0.1", 0)) as silent:
                port = silent.getsockname()[1]
                searcher.collection = ServerCollection(
                    QdrantClient(port=port, timeout=1, check_compatibility=False), "c"
                )
                refused(send(client, picture(50, 50)), 503, "index-unavailable")  # slow
            for answer in (  # away
                send(client, picture(50, 50)),
                client.get("/v1/articles/a0/similar"),
                client.get("/v1/articles/a0/image"),
                client.get("/v1/release"),
                client.get("/readyz"),
            ):
                refused(answer, 503, "index-unavailable")
                assert int(answer.headers["retry-after"]) > 0
            searcher.collection = held
        assert send(client, picture(50, 50)).status_code == 200
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "named", ["../secret.png", "/etc/passwd.png", "link.png", "folder/../../secret.png", "x.txt", "text.png", ""]
)
def test_no_image_outside_of_the_data(tmp_path: Path, named: str) -> None:
    from serving.image_files import image_file

    data = tmp_path / "data"
    (data / "folder").mkdir(parents=True)
    (data / "x.txt").write_text("text")
    (tmp_path / "secret.png").write_bytes(picture(20, 20))
    (data / "link.png").symlink_to(tmp_path / "secret.png")
    (data / "text.png").symlink_to(data / "x.txt")
    assert image_file(data, named) is None
    for inside in ("inside.png", "inside.jfif", "inside.JPE", "inside.tif", "inside.tiff"):
        (data / inside).write_bytes(picture(20, 20))
        assert image_file(data, inside) == data / inside
