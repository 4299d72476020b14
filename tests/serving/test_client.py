"""The Python client, over real HTTP."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from contracts.index import ArticleFilter
from serving.client import SearchClient, SearchRefused
from tests.serving.fixtures import serving
from tests.serving.shop import Shop


@pytest.fixture(scope="module")
def talking(open_shop: Shop) -> Iterator[SearchClient]:
    with serving(open_shop.settings) as url, SearchClient(url) as client:
        yield client


def test_searches_with_bytes_and_with_a_file(talking: SearchClient, open_shop: Shop, tmp_path: Path) -> None:
    photo = open_shop.photo("a4")
    (tmp_path / "photo.jpg").write_bytes(photo)
    by_bytes, by_file = talking.search(photo, k=3), talking.search(tmp_path / "photo.jpg", k=3)
    assert [one.article_id for one in by_bytes.results] == [one.article_id for one in by_file.results]
    assert by_bytes.results[0].article_id == "a4" and len(by_bytes.results) == 3
    assert by_bytes.release == "1" and by_bytes.person_found


def test_hands_on_what_is_asked(talking: SearchClient, open_shop: Shop) -> None:
    where = ArticleFilter("dress", None, {"colour": ("red", "green"), "fit. [eu]": ("wide",)}, 10.0, 13.0, True)
    answer = talking.search(open_shop.photo("a4"), 12, where, rerank="neural", diversity=0.5, overlay=True)
    assert [one.article_id for one in answer.results] == ["a3"]
    assert answer.results[0].rerank_score is not None and answer.overlay
    assert [one.article_id for one in talking.similar("a0", 12, where).results] == ["a3"]


def test_looks_and_reads_articles(talking: SearchClient, open_shop: Shop) -> None:
    looked = talking.look(open_shop.photo("a4"), k=1, categories=2)
    assert [len(each.results) for each in looked.categories] == [1, 1]
    assert talking.article("a4").price == 14.0
    with Image.open(io.BytesIO(talking.image("a4"))) as image:
        assert np.array_equal(np.asarray(image), open_shop.pictures["a4"])
    assert talking.release().articles == 12 and talking.is_ready()


def test_a_refusal_is_told(talking: SearchClient) -> None:
    with pytest.raises(SearchRefused) as told:
        talking.search(b"no picture")
    assert (told.value.status, told.value.kind, told.value.retry_after_s) == (415, "not-an-image", None)
    with pytest.raises(SearchRefused, match="404 unknown-article"):
        talking.article("no/body?")
    with pytest.raises(SearchRefused, match="403 no-keys"):
        talking.refresh()


def test_a_service_that_is_away() -> None:
    with SearchClient("http://127.0.0.1:9", timeout_s=1) as client:
        assert not client.is_ready()
        with pytest.raises(httpx.TransportError):
            client.release()


def test_a_refusal_by_something_in_front_of_the_service() -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(502)
            self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(b"<html>Bad gateway</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with SearchClient(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(SearchRefused) as told:
        client.release()
    assert told.value.status == 502 and told.value.retry_after_s == 7
    server.shutdown()
    server.server_close()
