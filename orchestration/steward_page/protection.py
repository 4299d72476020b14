"""Who may use the page: a browser on this machine, with forms that this page made. Other sites get nothing from it.

The address that a request asks for must be this machine's, so that no other name can be pointed here; a form must come
from this page's origin and bring the token that only its pages hold; nothing is kept by the browser, for a picture may
have to be erased.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus

from starlette.datastructures import FormData, Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_FORM_BYTES = 1_000_000

_POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'"
_REPORT_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; sandbox allow-same-origin"
"""Data Docs are written by another program from what was delivered: they get their styles, and no scripts."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def check_token(form: FormData, token: str) -> None:
    """Refuse a form without the token of this page's own forms. Raises HTTPException."""
    if not secrets.compare_digest(str(form.get("token", "")).encode(), token.encode()):
        raise HTTPException(HTTPStatus.FORBIDDEN, "this form is not one of this page as it runs now; load it again")


class OnlyFromHere:
    """Refuses what another site may have brought about, and tells browsers what the pages may do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = _REPORT_POLICY if "/report/" in scope["path"] else _POLICY

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
                headers.update(_HEADERS)
            await send(message)

        refusal = _refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await PlainTextResponse(refusal, HTTPStatus.FORBIDDEN)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def _refusal(method: str, headers: Headers) -> str | None:
    host = headers.get("host", "")
    if host.partition(":")[0] not in _NAMES:
        return f"this page is at http://{ADDRESS}, not at {host}\n"
    if method in ("GET", "HEAD"):
        return None
    if headers.get("origin") != f"http://{host}":
        return "this form was sent from another site\n"
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _FORM_BYTES:
        return "this form is too long\n"
    return None
