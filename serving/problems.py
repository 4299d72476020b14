"""Refusals as problem documents (RFC 9457): every error of the service says what is wrong, in words for a person."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from contracts.errors import ThreadlineError
from contracts.index import IndexUnavailable

_LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class Problem(HTTPException):
    """A refusal. `kind` is a short name that programs can rely on; `detail` is for people.

    `errors` name the fields that are wrong.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind
        self.errors = errors


class ProblemDocument(BaseModel):
    """The body of a refusal."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


def document(problem: Problem) -> JSONResponse:
    """The response that tells of `problem`."""
    headers = dict(problem.headers or {})
    return JSONResponse(_body(problem), problem.status_code, headers=headers, media_type=MEDIA_TYPE)


def _body(problem: Problem) -> dict[str, Any]:
    return ProblemDocument(
        type=f"urn:threadline:problem:{problem.kind}",
        title=HTTPStatus(problem.status_code).phrase,
        status=problem.status_code,
        detail=problem.detail,
        errors=problem.errors,
    ).model_dump(exclude_none=True)


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(IndexUnavailable, _unavailable)
    app.add_exception_handler(ThreadlineError, _threadline)


def documented(when: str, *problems: Problem) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI description says of refusals of one status: `when` they come, `problems` that are examples."""
    examples = {problem.kind: {"value": _body(problem)} for problem in problems}
    content = {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema(), "examples": examples}}
    headers = {name: _HEADERS[name] for name in problems[0].headers or ()}
    return {problems[0].status_code: {"description": when, "content": content, "headers": headers}}


_HEADERS = {
    "Retry-After": {
        "description": "After how many seconds to ask again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "examples": [2]},
    },
    "WWW-Authenticate": {
        "description": "How a key is sent.",
        "required": True,
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
}


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return document(error)
    status = HTTPStatus(error.status_code)
    details = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.url.path}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible at {request.url.path}",
    }
    kind = status.phrase.lower().replace(" ", "-")
    headers = dict(error.headers) if error.headers else None
    return document(Problem(status, kind, details.get(status, str(error.detail)), headers))


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in one["loc"][1:]), "message": str(one["msg"])} for one in error.errors()
    ]
    return document(invalid(errors))


def invalid(errors: list[dict[str, str]]) -> Problem:
    """The refusal of fields that are wrong, each with its `message`."""
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", detail, errors=errors)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return document(index_unavailable())


def index_unavailable() -> Problem:
    """The refusal while the index does not answer."""
    detail = "the index of articles does not answer; try again in a moment"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "index-unavailable", detail, {"Retry-After": "2"})


def busy() -> Problem:
    """The refusal while no more requests fit."""
    detail = "too many requests at once; try again in a moment"
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", detail, {"Retry-After": "1"})


def late(deadline_s: float) -> Problem:
    """The refusal of what was not done within `deadline_s`."""
    detail = f"this was not done within {deadline_s:g} s; try again in a moment"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "deadline", detail, {"Retry-After": "2"})


def slow_upload(upload_s: float) -> Problem:
    """The refusal of an upload that took longer than `upload_s`."""
    return Problem(HTTPStatus.REQUEST_TIMEOUT, "slow-upload", f"the photo did not arrive within {upload_s:g} s")


def no_key() -> Problem:
    """The refusal of a request without one of the API keys."""
    detail = "send one of the service's API keys as `Authorization: Bearer KEY`"
    return Problem(HTTPStatus.UNAUTHORIZED, "no-key", detail, {"WWW-Authenticate": "Bearer"})


def no_keys() -> Problem:
    """The refusal of what only holders of an API key may ask, by a service that has none."""
    detail = "only holders of an API key may ask for this, and the service has none; send it SIGHUP instead"
    return Problem(HTTPStatus.FORBIDDEN, "no-keys", detail)


def failed() -> Problem:
    """The refusal when something of the service's own went wrong."""
    detail = "the service could not do this; its log says why"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", detail)


async def _threadline(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ThreadlineError)
    _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return document(failed())
