"""Runs the steward's page on this machine."""

from __future__ import annotations

import socket

import uvicorn

from contracts.errors import ThreadlineError
from orchestration.places import Places
from orchestration.steward_page.app import StewardPage
from orchestration.steward_page.protection import ADDRESS


def listen(port: int) -> socket.socket:
    """A socket on loopback, and nowhere else. Raises ThreadlineError when the port is taken."""
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        raise ThreadlineError(f"port {port} on {ADDRESS} is taken", "stop what uses it, or choose another") from error


def serve(places: Places, listening: socket.socket) -> None:
    """Serve the page until Ctrl-C; a decision that was begun is then finished."""
    config = uvicorn.Config(StewardPage(places).app, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])
