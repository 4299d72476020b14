"""The settings are read from the environment, and every runtime that they name can be had."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.inference import PackageSession
from serving.runtimes import EXACT
from serving.settings import Settings
from tests.serving.shop import Shop


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "THREADLINE_PORT": "9000",
        "THREADLINE_RUNTIME": "onnxruntime-float32",
        "THREADLINE_CORS_ORIGINS": '["https://shop.example"]',
        "THREADLINE_API_KEYS": "keys",
        "QDRANT_URL": "http://qdrant:6333",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.port == 9000 and settings.cors_origins == ("https://shop.example",)
    assert settings.runtime == "onnxruntime-float32" and settings.qdrant_url == "http://qdrant:6333"
    assert settings.api_keys is not None and settings.api_keys.name == "keys"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNTIME", "fastest"),
        ("QUEUE", "-1"),
        ("DEADLINE_S", "0"),
        ("QUERY_LOG", "pictures"),
        ("ROOT_PATH", "shop/"),
        ("ROOT_PATH", "/shop/"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"THREADLINE_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("runtime", EXACT)
def test_a_runtime_can_be_pinned(open_shop: Shop, runtime: str) -> None:
    settings = Settings(runtime=runtime)
    session = PackageSession(open_shop.package(1, reranks=True), threads=1, runtime=settings.runtime)
    assert session.precision == runtime
