"""The reporter for work that nobody watches."""

from __future__ import annotations


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Tell nobody."""
