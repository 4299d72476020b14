"""Where article vectors are kept: a Qdrant server, or the embedded engine in a directory."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import ThreadlineError
from contracts.index import ArticleIndex

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from serving.index.layout import Layout


def open_index(
    home: Path,
    url: str | None,
    api_key: str | None = None,
    timeout_s: int = 60,
    *,
    ca: Path | None = None,
    layout: Layout | None = None,
) -> ArticleIndex:
    """The Qdrant server at `url`, which must answer within `timeout_s`, or without one the embedded engine.

    New collections of a server get `layout`. Raises ThreadlineError as `connect` does.
    """
    if url:
        from serving.index.server import ServerIndex

        return ServerIndex(connect(url, api_key, timeout_s, ca), layout)
    from serving.index.edge import EdgeIndex

    return EdgeIndex(home / "index")


def connect(url: str, api_key: str | None, timeout_s: int, ca: Path | None) -> QdrantClient:
    """A client of the server at `url`.

    `ca` is a file of the authorities that an https server's certificate may come from (PEM); without it those of the
    system's bundle. Raises ThreadlineError when `ca` cannot be read.
    """
    from qdrant_client import QdrantClient

    return QdrantClient(url=url, api_key=api_key, timeout=timeout_s, **_trusting(ca))


def _trusting(ca: Path | None) -> dict[str, Any]:
    if ca is None:
        return {}
    try:
        return {"verify": ssl.create_default_context(cafile=ca)}
    except OSError as error:  # ssl.SSLError is one
        problem = f"{ca} holds no certificates that can be read: {error}"
        raise ThreadlineError(problem, "let QDRANT_CA name a PEM file of certificate authorities") from error
