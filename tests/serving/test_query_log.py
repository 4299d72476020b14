"""What the service keeps of a search, and what it never keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from contracts.query_log import LoggedQuery, decode_vector, read_queries
from serving.app import create_app
from tests.serving.fixtures import until
from tests.serving.shop import Shop


def searched(shop: Shop, home: Path, query_log: str) -> list[LoggedQuery]:
    """The log after a search and a look, of a service over `shop` that keeps its log in `home`."""
    settings = shop.settings.model_copy(update={"query_log": query_log})
    app = create_app(settings)
    with TestClient(app) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        files = {"photo": ("secret-name.jpg", shop.photo("a4"))}
        fields = {"k": "5", "price_max": "15", "attribute": "colour=red"}
        assert client.post("/v1/search", files=files, data=fields).status_code == 200
        assert client.post("/v1/look", files=files, data={"k": "1"}).status_code == 200
        assert client.post("/v1/search", files={"photo": ("p", b"none")}).status_code == 415
    return list(read_queries(settings.queries))


@pytest.fixture
def released(shop: Shop) -> Shop:
    shop.release(shop.package(1))
    return shop


def test_figures_are_kept(released: Shop, tmp_path: Path) -> None:
    search, look = searched(released, tmp_path, "counts")
    assert (search.route, search.release, search.k) == ("search", "1", 5)
    assert search.filters == ["attributes", "price_max"]
    assert search.person_found is True and 0.3 < (search.person_share or 0) < 0.4
    assert sum(search.categories.values()) == 3 and len(search.scores) == 5  # articles 0, 2 and 4 are red and cheap
    assert {"decode", "segment", "encode", "search"} <= set(search.took_ms)
    assert look.route == "look" and look.categories == {"dress": 1, "shirt": 1, "skirt": 1}
    assert search.vector is None


def test_neither_picture_nor_name_nor_address_is_kept(released: Shop, tmp_path: Path) -> None:
    searched(released, tmp_path, "vectors")
    [path] = released.settings.queries.iterdir()
    text = path.read_text()
    assert len(text) < 3000
    assert not any(word in text for word in ("secret-name", "testclient", "127.0.0.1", "red", "image"))


def test_vectors_are_kept_where_asked_for(released: Shop, tmp_path: Path) -> None:
    search, _ = searched(released, tmp_path, "vectors")
    assert search.vector is not None
    assert np.linalg.norm(decode_vector(search.vector)) == pytest.approx(1, abs=1e-2)


def test_nothing_is_kept_where_it_is_off(released: Shop, tmp_path: Path) -> None:
    assert searched(released, tmp_path, "off") == []
    assert not released.settings.queries.exists()


def test_a_log_that_cannot_be_written_stops_no_search(
    released: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    released.settings.queries.parent.mkdir(exist_ok=True)
    released.settings.queries.write_text("a file in the way")
    assert searched(released, tmp_path, "counts") == []  # both searches were answered
    assert caplog.text.count("cannot be written") == 1
