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
    """A refusal. `kind` is a short name that programs can rely on; `detail` is for people."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind


class ProblemDocument(BaseModel):
    """The body of a refusal."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


def document(problem: Problem, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """The response that tells of `problem`; `errors` name the fields that are wrong."""
    body = ProblemDocument(
        type=f"urn:threadline:problem:{problem.kind}",
        title=HTTPStatus(problem.status_code).phrase,
        status=problem.status_code,
        detail=problem.detail,
        errors=errors,
    )
    content = body.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status_code, headers=dict(problem.headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(IndexUnavailable, _unavailable)
    app.add_exception_handler(ThreadlineError, _threadline)


def documented(**statuses: str) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI description says of refusals: of `s404="…"` for example that it comes, and when."""
    content = {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema(), "example": _EXAMPLE}}
    return {int(name[1:]): {"description": when, "content": content} for name, when in statuses.items()}


_EXAMPLE = {
    "type": "urn:threadline:problem:not-an-image",
    "title": "Unsupported Media Type",
    "status": 415,
    "detail": "not a picture in a known format",
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
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return document(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", detail), errors)


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


def failed() -> Problem:
    """The refusal when something of the service's own went wrong."""
    detail = "the service could not do this; its log says why"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", detail)


async def _threadline(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ThreadlineError)
    _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return document(failed())
