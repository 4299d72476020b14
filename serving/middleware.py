"""What happens to every request: its key and body are checked, its answer gets security headers, it is counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.keys import Keys
from serving.metrics import Metrics
from serving.photos import too_large
from serving.problems import busy, document, failed, no_key, slow_upload

_LOG = logging.getLogger(__name__)

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=()",
}
_FORM_OVERHEAD = 64_000
"""Bytes that a form may have beside the photo."""


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_OPEN = ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/samples")
_OPEN_BELOW = ("/page/", "/samples/")


class WholePath:
    """Gives a request its whole path, as ASGI has it, where the proxy took away that below which it serves.

    The routes take that off again, those of mounted files only if it is there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        root = scope.get("root_path", "")
        if "path" in scope and not scope["path"].startswith(f"{root}/"):
            scope["path"] = root + scope["path"]
        await self._app(scope, receive, send)


class KeyCheck:
    """Refuses requests without an API key, before their body is read: all but the page, its files and the probes."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and path not in _OPEN and not path.startswith(_OPEN_BELOW):
            scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._keys.knows(key.strip()):
                await document(no_key())(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses a body that is longer than a photo may be, before it is read or as soon as it gets too long.

    And one that has not arrived after `upload_s` seconds. Before any of it is read, one that comes while no search
    would be taken (`are_full`), or while `uploads` others arrive: an upload itself keeps no place among the searches.
    """

    def __init__(
        self, app: ASGIApp, photo_bytes: int, upload_s: float, uploads: int, are_full: Callable[[], bool]
    ) -> None:
        self._app = app
        self._photo_bytes = photo_bytes
        self._upload_s = upload_s
        self._uploads = uploads
        self._are_full = are_full
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._photo_bytes + _FORM_OVERHEAD
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await document(too_large(self._photo_bytes))(scope, receive, send)
            return
        arrives = scope["method"] == "POST" and (announced not in ("", "0") or "transfer-encoding" in headers)
        if arrives and (self._are_full() or self._arriving >= self._uploads):
            await document(busy())(scope, receive, send)
            return
        received, complete, until_s = 0, False, time.monotonic() + self._upload_s

        async def counted() -> Message:
            nonlocal received, complete, arrives
            if complete:  # what comes now is that the client has gone, and may take its time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until_s - time.monotonic()))
            except TimeoutError as error:
                raise slow_upload(self._upload_s) from error
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large(self._photo_bytes)
            complete = not message.get("more_body", False)
            if complete:
                self._arriving -= arrives
                arrives = False
            return message

        self._arriving += arrives
        try:
            await self._app(scope, counted, send)
        finally:
            self._arriving -= arrives


class Failures:
    """Answers what nobody expected with a problem document.

    Starlette would, outside of everything: without the other middlewares' headers, and then end the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises what comes after the answer has begun: then it can only be broken off."""
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            if scope["type"] != "http" or has_begun:
                raise
            _LOG.exception("%s %s", scope["method"], scope["path"])
            await document(failed())(scope, receive, send)


class SecurityHeaders:
    """Adds the headers that tell a browser what a page of this service may do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class Counted:
    """Counts requests and their time, by route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # Unknown paths share one name, as unknown methods do: anybody could make up as many as they like.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)
