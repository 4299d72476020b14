"""A line of the log: text on a terminal, else one JSON object, with what is known of its place, and without secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

PLACE = ("run", "asset", "partition", "release")
"""What a line may say of where it was written."""

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_NAMED_SECRET = r"(?:api[-_]?key|password|passwd|secret(?:[-_]access[-_]key)?|token)"
_SECRETS = (
    (re.compile(r"(?<=://)[^/\s@]*(?=@)"), "…"),  # user and password of an address
    (re.compile(r"(?i)(\bbearer\s+)[^\s\"',;]+"), r"\1…"),
    (re.compile(rf"(?i)({_NAMED_SECRET}[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+"), r"\1…"),
)
_place: ContextVar[dict[str, str]] = ContextVar("place", default={})  # noqa: B039 - never changed, only replaced


@contextmanager
def at(**place: str | None) -> Iterator[None]:
    """Say in every line that this block logs where it is, as far as that is known: the names are those of PLACE."""
    token = _place.set(_place.get() | {name: value for name, value in place.items() if value})
    try:
        yield
    finally:
        _place.reset(token)


def without_secrets(text: str) -> str:
    """`text` with what looks like a password, a key or a token blotted out."""
    for pattern, blot in _SECRETS:
        text = pattern.sub(blot, text)
    return text


class JsonLines(logging.Formatter):
    """One JSON object a record: `time` (UTC), `level`, `logger`, `message`, its place, and `error`, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **_place.get(),
        }
        line |= {name: str(value) for name in PLACE if (value := getattr(record, name, None))}
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """The record as text, for people."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, its traceback below it."""
        return without_secrets(super().format(record))


def handler_for(stream: TextIO) -> logging.Handler:
    """A handler that writes to `stream`: text where it is a terminal, else JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines() if stream.isatty() else JsonLines())
    return handler


def log_to(stream: TextIO, level: int = logging.INFO) -> None:
    """Let this process log to `stream`, from `level` on; what other libraries had set up before is replaced."""
    logging.basicConfig(level=level, handlers=[handler_for(stream)], force=True)
    logging.captureWarnings(True)
