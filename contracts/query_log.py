"""The log of what was asked of the service: counts, times and scores, never a picture, and nothing about who asked.

A directory with one file a day (UTC), `2026-01-31.jsonl`; a line is one `LoggedQuery` as JSON. Lines are appended, so
that the last one may be torn where the service was killed: a reader leaves it out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


class LoggedQuery(BaseModel):
    """One photo that was searched with.

    `at_s` is Unix time; `filters` are the names of the filters that were used, not their values; `categories` counts
    the articles in the answer; `scores` are the `QUANTILES` of their cosines, lowest first, empty without articles;
    `vector` is the photo's unit vector as little-endian float16 in base64, where the service was told to keep it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_s: int
    route: Literal["search", "look"]
    release: str
    collection: str
    k: int
    filters: list[str]
    took_ms: dict[str, float]
    person_found: bool | None
    person_share: float | None
    categories: dict[str, int]
    scores: list[float]
    vector: str | None = None


def score_quantiles(scores: list[float]) -> list[float]:
    """The `QUANTILES` of `scores`, rounded to 4 places."""
    return [round(float(one), 4) for one in np.quantile(scores, QUANTILES)] if scores else []


def encode_vector(vector: NDArray[np.float32]) -> str:
    """A (D,) vector as `LoggedQuery.vector` keeps it."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")


def decode_vector(encoded: str) -> NDArray[np.float32]:
    """The (D,) float32 vector that `encode_vector` wrote, to three digits."""
    return np.frombuffer(base64.b64decode(encoded), dtype="<f2").astype(np.float32)


def day_file(directory: Path, at_s: float) -> Path:
    """The file of the day (UTC) of `at_s`."""
    return directory / f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}.jsonl"


def end_of_day(day: str) -> float:
    """The Unix time at which a day (UTC, ISO 8601) ends."""
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()


def last_whole_day(directory: Path, now_s: float) -> str | None:
    """The last day (UTC, ISO 8601) with a query that is over at `now_s`; None before there is one."""
    today = day_file(directory, now_s).name
    return max((path.stem for path in directory.glob("*.jsonl") if path.name < today), default=None)


def append_query(directory: Path, query: LoggedQuery) -> None:
    """Append `query` to the file of its day, in one write, so that processes may share the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with day_file(directory, query.at_s).open("ab", buffering=0) as file:
        file.write(query.model_dump_json().encode() + b"\n")


def read_queries(directory: Path, since_s: float = 0.0, until_s: float = float("inf")) -> Iterator[LoggedQuery]:
    """The queries from `since_s` (inclusive) to `until_s` (exclusive), Unix time, oldest day first.

    Lines that are no queries, such as a torn one, are left out.
    """
    first = day_file(directory, since_s).name
    for path in sorted(directory.glob("*.jsonl")):
        if path.name < first:
            continue
        with path.open("rb") as lines:
            for line in lines:
                query = _parsed(line)
                if query is not None and since_s <= query.at_s < until_s:
                    yield query


def drop_before(directory: Path, before_s: float) -> None:
    """Remove the files of the days before that of `before_s`."""
    first = day_file(directory, before_s).name
    for path in directory.glob("*.jsonl"):
        if path.name < first:
            path.unlink(missing_ok=True)


def _parsed(line: bytes) -> LoggedQuery | None:
    try:
        return LoggedQuery.model_validate_json(line)
    except ValidationError:
        return None
