"""Who may ask: API keys, pages of other sites, and the call that looks at the registry at once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts.errors import ThreadlineError
from serving.__main__ import main
from serving.app import create_app
from serving.keys import Keys, add_key, open_keys
from serving.settings import Settings
from tests.serving.fixtures import until
from tests.serving.shop import Shop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "api-keys"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_only_a_digest_is_kept(path: Path) -> None:
    key = add_key(path, "shop-front")
    assert len(key) >= 43 and key not in path.read_text() and path.read_text().startswith("shop-front ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = Keys(path)
    assert keys.knows(key)
    assert not keys.knows("") and not keys.knows(key[:-1]) and not keys.knows(path.read_text().split()[1])


def test_keys_are_added_and_revoked_without_a_restart(path: Path) -> None:
    first = add_key(path, "first")
    keys = Keys(path)
    second = add_key(path, "second")
    assert keys.knows(first) and keys.knows(second)
    path.write_text("# nobody\n\n" + path.read_text().splitlines()[1])
    assert not keys.knows(first) and keys.knows(second)


def test_a_file_whose_last_line_was_left_open_takes_another_key(path: Path) -> None:
    first = add_key(path, "first")
    path.write_text(path.read_text().rstrip("\n"))
    second = add_key(path, "second")
    assert Keys(path).knows(first) and Keys(path).knows(second)


def test_a_file_that_makes_no_sense_for_a_while_locks_nobody_out_and_no_file_lets_nobody_in(path: Path) -> None:
    key = add_key(path, "shop-front")
    keys, good = Keys(path), path.read_text()
    path.write_text(good + "half of a li")
    assert keys.knows(key) and not keys.knows("another")
    path.write_bytes(b"\xff\xfe")
    assert keys.knows(key)
    path.unlink()
    assert not keys.knows(key)
    path.write_text(good)
    assert keys.knows(key)


@pytest.mark.parametrize("line", ["name", "name abc", "name " + "0" * 63])
def test_a_line_that_makes_no_sense_is_named(path: Path, line: str) -> None:
    add_key(path, "good")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ThreadlineError, match="line 2"):
        Keys(path)


def test_a_missing_file_and_a_name_that_is_none(path: Path) -> None:
    with pytest.raises(ThreadlineError, match="cannot be read"):
        Keys(path)
    with pytest.raises(ThreadlineError, match="cannot name a key"):
        add_key(path, "two words")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert open_keys(Settings(host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.5", "shop.example"])
def test_any_other_address_needs_keys_or_a_word(host: str) -> None:
    with pytest.raises(ThreadlineError, match="answer everybody"):
        create_app(Settings(host=host))
    assert open_keys(Settings(host=host, open_to_all=True)) is None


def test_the_command_makes_a_key_and_refuses_to_start_open(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--new-key", "me", "--home", str(path.parent)])
    assert Keys(path).knows(capsys.readouterr().out.split()[0])
    with pytest.raises(SystemExit, match="answer everybody"):
        main(["--host", "0.0.0.0", "--home", str(path.parent)])


@pytest.fixture
def guarded(open_shop: Shop, path: Path):
    key = add_key(path, "shop-front")
    with TestClient(create_app(open_shop.settings.model_copy(update={"api_keys": path}))) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client, key


def test_the_api_asks_for_a_key_and_the_page_does_not(guarded: tuple[TestClient, str], open_shop: Shop) -> None:
    client, key = guarded
    for url in ("/", "/page/page.js", "/docs", "/openapi.json", "/healthz", "/readyz"):
        assert client.get(url).status_code == 200
    for url in ("/v1/release", "/v1/articles/a0/image", "/v1/articles/a0/similar", "/metrics"):
        for headers in ({}, bearer("wrong"), {"Authorization": key}, {"Authorization": f"Basic {key}"}):
            answer = client.get(url, headers=headers)
            assert answer.status_code == 401 and answer.json()["type"] == "urn:threadline:problem:no-key"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "content-security-policy" in answer.headers
        assert client.get(url, headers=bearer(key)).status_code == 200
    files = {"photo": ("p", open_shop.photo("a0"))}
    assert client.post("/v1/search", files=files).status_code == 401
    assert client.post("/v1/search", files=files, headers=bearer(key)).status_code == 200


def test_images_behind_a_key_are_kept_by_nobody_else(guarded: tuple[TestClient, str]) -> None:
    client, key = guarded
    kept = client.get("/v1/articles/a0/image", headers=bearer(key)).headers["cache-control"]
    assert kept.startswith("private")


def test_looking_at_once_is_for_holders_of_a_key(client: TestClient, shop: Shop, path: Path) -> None:
    refused = client.post("/v1/release/refresh")
    assert refused.status_code == 403 and refused.json()["type"] == "urn:threadline:problem:no-keys"
    settings = shop.settings.model_copy(update={"api_keys": path, "poll_s": 600.0})
    key = add_key(path, "publisher")
    with TestClient(create_app(settings)) as alone:
        until(lambda: "problem" in alone.get("/readyz").text)
        shop.release(shop.package(1))
        assert alone.get("/readyz").status_code == 503
        assert alone.post("/v1/release/refresh").status_code == 401
        assert alone.post("/v1/release/refresh", headers=bearer(key)).status_code == 202
        until(lambda: alone.get("/readyz").status_code == 200)


def test_pages_of_other_sites_may_not_ask_unless_told(client: TestClient, open_shop: Shop) -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.get("/v1/release", headers=asks).headers
    settings = open_shop.settings.model_copy(update={"cors_origins": ("https://shop.example",)})
    with TestClient(create_app(settings)) as told:
        allowed = told.options("/v1/search", headers=asks).headers
        assert allowed["access-control-allow-origin"] == "https://shop.example"
        other = told.options("/v1/search", headers=asks | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
