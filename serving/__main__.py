"""The command `threadline-serve`: run the search service, configured by the environment (see `serving.settings`)."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from pathlib import Path
from typing import Any

import uvicorn

from contracts.errors import ThreadlineError
from contracts.logs import log_to
from serving.app import create_app
from serving.connections import http_protocol
from serving.keys import add_key
from serving.photos import return_memory_of_photos
from serving.settings import Settings


def main(arguments: list[str] | None = None) -> None:
    """Serve until stopped, or make an API key. SIGHUP: look at the registry at once."""
    gc.set_threshold(100_000)  # the modules of a registry are half a million objects: looking through them takes 0.5 s
    return_memory_of_photos()
    log_to(sys.stderr)
    asked = _parser().parse_args(arguments)
    stated: dict[str, Any] = {name: value for name, value in vars(asked).items() if value is not None}
    new_key = stated.pop("new_key", None)
    settings = Settings(**stated)
    try:
        if new_key is not None:
            _make_key(settings, new_key)
        else:
            serve(settings)
    except ThreadlineError as error:
        sys.exit(f"{error}")


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; what was begun is then finished. Raises ThreadlineError."""
    app = create_app(settings)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: app.state.service.follower.wake())
    # One process: its threads share one copy of the networks. More processes, over a Qdrant server, scale out.
    uvicorn.run(app, host=settings.host, port=settings.port, **server_options(settings))


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves, wherever it listens."""
    return {
        "http": http_protocol(settings.headers_s),
        "timeout_graceful_shutdown": settings.stop_s,
        "log_config": None,  # its lines go where ours go
        "access_log": False,  # /metrics counts requests; addresses of people are nobody's business
        "server_header": False,
    }


def _make_key(settings: Settings, name: str) -> None:
    path = settings.api_keys or settings.home / "api-keys"
    key = add_key(path, name)
    print(f"{key}\n\nThis is the only time that it is shown. {path} keeps its digest;")
    print(f"the service asks for keys when started with THREADLINE_API_KEYS={path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="threadline-serve", description="Run Threadline's search service.")
    parser.add_argument("--host", help="the address to listen on (THREADLINE_HOST)")
    parser.add_argument("--port", type=int, help="the port to listen on (THREADLINE_PORT)")
    parser.add_argument("--home", type=Path, help="the workspace's .threadline (THREADLINE_HOME)")
    parser.add_argument("--data", type=Path, help="the workspace's data, for the articles' images (THREADLINE_DATA)")
    parser.add_argument("--new-key", metavar="NAME", help="make an API key, show it once, and end")
    return parser


if __name__ == "__main__":
    main()
