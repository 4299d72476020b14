"""Writing the query log: what a search was like, never the picture. A log that cannot be written stops no search."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from contracts.index import ArticleFilter, Hit
from contracts.query_log import LoggedQuery, append_query, drop_before, encode_vector, score_quantiles
from serving.search import Searcher, Seen

_LOG = logging.getLogger(__name__)
_DAY_S = 86_400


class QueryLog:
    """The log in `directory`, of which `days` days are kept; with `vectors`, the photos' vectors are kept too."""

    def __init__(self, directory: Path, *, vectors: bool, days: int) -> None:
        self._directory = directory
        self._vectors = vectors
        self._days = days
        self._day = 0
        self._failing = False

    def note(
        self,
        route: Literal["search", "look"],
        searcher: Searcher,
        seen: Seen,
        k: int,
        where: ArticleFilter,
        hits: Sequence[Hit],
        took_ms: dict[str, float],
    ) -> None:
        """Append one search and what it found."""
        mask = seen.mask
        query = LoggedQuery(
            at_s=int(time.time()),
            route=route,
            release=searcher.release.version,
            collection=searcher.release.collection,
            k=k,
            filters=filters_of(where),
            took_ms=took_ms,
            person_found=None if mask is None else bool(mask.any()),
            person_share=None if mask is None else round(float(mask.mean()), 4),
            categories=dict(Counter(str(hit.payload.get("category") or "") for hit in hits)),
            scores=score_quantiles([hit.score for hit in hits]),
            vector=encode_vector(seen.vector) if self._vectors else None,
        )
        self._write(query)

    def _write(self, query: LoggedQuery) -> None:
        try:
            if query.at_s // _DAY_S != self._day:
                self._day = query.at_s // _DAY_S
                drop_before(self._directory, query.at_s - self._days * _DAY_S)
            append_query(self._directory, query)
            self._failing = False
        except OSError as error:
            if not self._failing:
                _LOG.error("the query log %s cannot be written: %s", self._directory, error)
            self._failing = True


def filters_of(where: ArticleFilter) -> list[str]:
    """The names of the filters that `where` uses."""
    return sorted(name for name, value in vars(where).items() if value not in (None, False, {}))
