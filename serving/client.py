"""A small client of the search service: `SearchClient("http://127.0.0.1:8000").search(Path("photo.jpg"), k=20)`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from contracts.index import ArticleFilter
from serving.answers import Article, ArticleAnswer, Articles, LookAnswer, ReleaseAnswer, SearchAnswer
from serving.ordering import Reranking

Photo = bytes | Path
Answer = TypeVar("Answer", bound=BaseModel)
_EVERYTHING = ArticleFilter()


class SearchRefused(Exception):  # noqa: N818 - read as a sentence
    """The service refused. `kind` is for programs, e.g. "not-an-image"; `retry_after_s` says when to come again."""

    def __init__(self, status: int, kind: str, detail: str, retry_after_s: float | None) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s


class SearchClient:
    """Talks to the service at `url`, over connections that are kept. Safe to share between threads.

    Every method raises SearchRefused for a refusal, and httpx.HTTPError when the service cannot be reached or does not
    answer within `timeout_s`.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        hooks = {"request": [_continue_trace]}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, event_hooks=hooks)

    def search(
        self,
        photo: Photo,
        k: int = 10,
        where: ArticleFilter = _EVERYTHING,
        *,
        rerank: Reranking = "none",
        diversity: float = 0.0,
        overlay: bool = False,
    ) -> SearchAnswer:
        """The `k` articles closest to the outfit in a photo, given as its file or its bytes."""
        asked = {"k": k, "rerank": rerank, "diversity": diversity, "overlay": overlay}
        return self._post("/v1/search", photo, {**asked, **_fields(where)}, SearchAnswer)

    def look(self, photo: Photo, k: int = 5, where: ArticleFilter = _EVERYTHING, *, categories: int = 8) -> LookAnswer:
        """The `k` best articles of each of at most `categories` categories, the best category first."""
        return self._post("/v1/look", photo, {"k": k, "categories": categories, **_fields(where)}, LookAnswer)

    def similar(self, article_id: str, k: int = 10, where: ArticleFilter = _EVERYTHING) -> Articles:
        """The `k` articles closest to an article."""
        answer = self._http.get(f"{_path(article_id)}/similar", params={"k": k, **_fields(where)})
        return _read(answer, Articles)

    def article(self, article_id: str) -> Article:
        """One article."""
        return _read(self._http.get(_path(article_id)), ArticleAnswer).article

    def image(self, article_id: str) -> bytes:
        """The first image of an article, encoded as it lies in the catalogue."""
        answer = self._http.get(f"{_path(article_id)}/image")
        _check(answer)
        return answer.content

    def release(self) -> ReleaseAnswer:
        """The release that serves."""
        return _read(self._http.get("/v1/release"), ReleaseAnswer)

    def refresh(self) -> None:
        """Let the service look at the registry now; needs an API key."""
        _check(self._http.post("/v1/release/refresh"))

    def is_ready(self) -> bool:
        """Whether the service can be reached and answers searches."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> SearchClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _post(self, path: str, photo: Photo, fields: Mapping[str, Any], answer: type[Answer]) -> Answer:
        data = photo.read_bytes() if isinstance(photo, Path) else photo
        form = {name: str(value).lower() if isinstance(value, bool) else value for name, value in fields.items()}
        return _read(self._http.post(path, files={"photo": ("photo", data)}, data=form), answer)


def _continue_trace(request: httpx.Request) -> None:
    """Let the service's spans join the caller's trace, where the caller traces: then OpenTelemetry is imported."""
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is not None:
        propagate.inject(request.headers)


def _path(article_id: str) -> str:
    return f"/v1/articles/{quote(article_id, safe='')}"


def _fields(where: ArticleFilter) -> dict[str, str | float | Sequence[str]]:
    """The filter as the fields of a form or of an address, those that are stated."""
    pairs = [f"{name}={value}" for name, values in where.attributes.items() for value in values]
    stated = {
        "category": where.category,
        "assortment": where.assortment,
        "attribute": pairs or None,
        "price_min": where.price_min,
        "price_max": where.price_max,
        "in_stock": "true" if where.in_stock else None,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _read(answer: httpx.Response, kind: type[Answer]) -> Answer:
    _check(answer)
    return kind.model_validate_json(answer.content)


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        body = answer.json()
    except ValueError:  # something in front of the service answered
        body = {}
    retry = answer.headers.get("retry-after", "")
    raise SearchRefused(
        answer.status_code,
        str(body.get("type", "")).rpartition(":")[2],
        str(body.get("detail", answer.reason_phrase)),
        float(retry) if retry.isdecimal() else None,
    )
