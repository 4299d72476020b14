"""Run the search service: `python -m serving`, configured by the environment (see `serving.settings`)."""

from __future__ import annotations

import logging

import uvicorn

from serving.app import create_app
from serving.settings import Settings


def main() -> None:
    """Serve until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings()
    # One process: its threads share one copy of the networks. More processes, over a Qdrant server, scale out.
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, timeout_graceful_shutdown=30)


if __name__ == "__main__":
    main()
