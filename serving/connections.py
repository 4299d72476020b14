"""Connections that do not come to the point: a request's head has to be there in time, however it trickles in."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def http_protocol(headers_s: float, of_uvicorn: type[asyncio.Protocol] = AutoHTTPProtocol) -> type[asyncio.Protocol]:
    """One of uvicorn's HTTP protocols that closes a connection whose next request's head takes over `headers_s`."""
    return type("TimedHead", (_TimedHead, of_uvicorn), {"headers_s": headers_s})


class _TimedHead(asyncio.Protocol):
    """Mixed into a protocol of uvicorn, whose `cycle` is the request that came last, from the end of its head on.

    The time begins with the connection, and with the first bytes after an answer: those of the next head, or what is
    left of a body that was refused. Further bytes do not prolong it. Between requests uvicorn's keep-alive counts.
    """

    headers_s: float
    transport: asyncio.Transport
    cycle: Any = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        last = self.cycle
        super().data_received(data)
        if self.cycle is not last:
            self._end()
        elif self._timer is None and last.response_complete:
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.headers_s, self.transport.close)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
