"""Where article vectors are kept: a Qdrant server, or the embedded engine in a directory."""

from __future__ import annotations

from pathlib import Path

from contracts.index import ArticleIndex


def open_index(home: Path, url: str | None, api_key: str | None = None, timeout_s: int = 60) -> ArticleIndex:
    """The Qdrant server at `url`, which must answer within `timeout_s`, or without one the embedded engine."""
    if url:
        from qdrant_client import QdrantClient

        from serving.index.server import ServerIndex

        return ServerIndex(QdrantClient(url=url, api_key=api_key, timeout=timeout_s))
    from serving.index.edge import EdgeIndex

    return EdgeIndex(home / "index")
