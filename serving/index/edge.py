"""The embedded index: Qdrant Edge shards in a directory, one immutable generation a state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from contracts.errors import ThreadlineError
from contracts.files import digest_of
from contracts.index import ArticleFilter, Collection, Hit, Points, Reconciled, point_id
from serving.index.conditions import Between, Condition, IsTrue, OneOf, conditions, keyword_fields
from serving.index.difference import REBUILD, Difference, check_collection, check_points, chunks, difference
from serving.index.generations import Generation, Generations, copy_tree, write_sidecar

PLAIN_UP_TO = 150_000
"""Points up to which every vector is compared, be it a whole collection or what passes a filter: exact.

A collection of no more needs no graph. A filter that lets more through leaves enough of the graph to find its way in,
so that no value needs a graph of its own, which is what takes most of the time of building one.
"""

_TRUE = "_true"
"""Where a stored payload names its fields that are true: the engine's Python interface cannot match a truth value."""

_WRITE = 2_000
_READ = 1_000
_QUERIES = 64
_CATEGORIES = 10_000
_EF = 640
"""Candidates that a search in the graph keeps: more find more of the true neighbours, and take longer. With so many it
is at least 99 of 100 among a million articles."""


class EdgeIndex:
    """Collections below `root`. One builder at a time a collection; readers never wait and never disturb."""

    def __init__(self, root: Path, *, quantised: bool = True) -> None:
        """`quantised` lets new collections with a graph search in 8-bit vectors first, and compare the best in full.

        Their graph is built of these as well, in less than half of the time.
        """
        self._generations = Generations(root)
        self._quantised = quantised

    def reconcile(self, name: str, points: Points, *, afresh: bool = False) -> Reconciled:
        """Publish a generation of the collection `name` that holds exactly `points`, unless the newest one does.

        Starts from a copy of the newest generation and writes only what differs; `afresh` reads nothing of it, for
        it may be damaged. Raises ThreadlineError when the result does not hold exactly the wanted points; nothing is
        published then.
        """
        check_points(points)
        digests = tuple(digest_of(_stored(payload)) for payload in points.payloads)
        with self._generations.building(name):
            latest = self._generations.latest(name)
            base = None if afresh else latest
            fits = base is not None and base.dimension() == points.vectors.shape[1]
            held = base.digests() if base else {}
            change = difference(points, digests, held if fits else dict.fromkeys(held, ("", "")))
            if base and fits and not change:
                return Reconciled(base.reference, len(points.article_ids), 0, 0, 0)
            with self._generations.draft(name, latest) as (directory, reference):
                _build(directory / "shard", base if fits else None, points, change, self._quantised)
                _check(directory / "shard", reference, points)
                write_sidecar(directory, points, digests)
        counts = len(change.vectors), len(change.payloads), len(change.deleted)
        return Reconciled(reference, len(points.article_ids), *counts)

    def open(self, reference: str) -> Collection:
        """Open a private copy of a generation, so that any number of processes may. Raises ThreadlineError."""
        generation = self._generations.find(reference)
        with ExitStack() as stack:
            copy = stack.enter_context(self._generations.private_copy(generation))
            collection = EdgeCollection(copy, reference)
            collection.on_close(stack.pop_all())
        return collection

    def references(self) -> list[str]:
        """Every generation of every collection, oldest first."""
        return [generation.reference for generation in self._generations.all()]

    def drop(self, reference: str) -> None:
        """Remove a generation; whoever has it open keeps reading it."""
        if reference in self.references():
            self._generations.drop(reference)


class EdgeCollection:
    """An open shard in the directory `path`, which nobody else may use: that of `reference`, or a copy of it."""

    def __init__(self, path: Path, reference: str) -> None:
        self._shard = _load(path, reference)
        self._cleanup = ExitStack()
        self._is_open = True

    def on_close(self, cleanup: ExitStack) -> None:
        """Let `cleanup` close with the collection."""
        self._cleanup = cleanup

    def search(self, vectors: NDArray[np.float32], k: int, where: ArticleFilter | None = None) -> list[list[Hit]]:
        """The `k` closest articles to each row of `vectors` (Q, D), closest first."""
        if k < 1:
            return [[] for _ in vectors]
        found: list[list[Hit]] = []
        narrowed = _filter(where)
        for rows in chunks(len(vectors), _QUERIES):
            queries = [_query(vector, k, narrowed) for vector in vectors[rows].tolist()]
            found += [_hits(each) for each in self._shard.query_batch(edge.QueryBatchRequest(queries))]
        return found

    def vectors(self, article_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The (D,) float32 unit vectors of those of `article_ids` that are there."""
        records = self._records(article_ids, with_vector=True)
        return {key: np.asarray(record.vector, dtype=np.float32) for key, record in records.items()}

    def payloads(self, article_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The payloads of those of `article_ids` that are there."""
        return {key: _public(record.payload) for key, record in self._records(article_ids).items()}

    def count(self) -> int:
        """How many articles the collection holds."""
        return self._shard.count(edge.CountRequest(exact=True))

    def categories(self) -> dict[str, int]:
        """How many articles each category has, the largest first."""
        answer = self._shard.facet(edge.FacetRequest("category", limit=_CATEGORIES, exact=True))
        return {str(hit.value): hit.count for hit in sorted(answer.hits, key=lambda hit: (-hit.count, str(hit.value)))}

    def close(self) -> None:
        """Close the shard and remove the private copy; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            with self._cleanup:  # the copy goes even when the engine panics
                self._shard.close()

    def _records(self, article_ids: Sequence[str], *, with_vector: bool = False) -> dict[str, edge.Record]:
        points = {point_id(article_id): article_id for article_id in article_ids}
        wanted: list[edge.PointId] = list(points)
        records: list[edge.Record] = []
        for rows in chunks(len(wanted), _READ):
            records += self._shard.retrieve(wanted[rows], with_payload=not with_vector, with_vector=with_vector)
        return {points[str(record.id)]: record for record in records}


def _build(path: Path, previous: Generation | None, points: Points, change: Difference, quantised: bool) -> None:
    """Make the shard at `path`: a copy of `previous` with `change` applied, or an empty one filled with `points`."""
    if previous is None:
        shard = _create(path, points.vectors.shape[1], quantised)
    else:
        copy_tree(previous.shard, path)
        shard = _load(path, previous.reference)
    try:
        _index_fields(shard, points)
        if previous is not None and change.deleted:
            shard.update(edge.UpdateOperation.delete_points([point_id(key) for key in change.deleted]))
        for rows in chunks(len(change.vectors), _WRITE):
            shard.update(edge.UpdateOperation.upsert_points([_point(points, row) for row in change.vectors[rows]]))
        for row in change.payloads:
            wanted = [point_id(points.article_ids[row])]
            shard.update(edge.UpdateOperation.overwrite_payload(list(wanted), _stored(points.payloads[row])))
        shard.flush()
        shard.optimize()
        shard.flush()
    finally:
        shard.close()


def _load(path: Path, reference: str) -> edge.EdgeShard:
    """The shard at `path`. Raises ThreadlineError when its files are damaged."""
    try:
        return edge.EdgeShard.load(str(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the engine panics, and a panic is no Exception
        reason = str(error).strip().partition("\n")[0]
        raise ThreadlineError(f"the collection '{reference}' cannot be read: {reason}", REBUILD) from error


def _create(path: Path, dimension: int, quantised: bool) -> edge.EdgeShard:
    path.mkdir()
    plain_up_to_kib = PLAIN_UP_TO * dimension * 4 // 1024
    eight_bits = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, quantile=0.99)
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=max(1, dimension), distance=edge.Distance.Cosine),
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=plain_up_to_kib, payload_m=0),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=plain_up_to_kib),
        quantization_config=eight_bits if quantised else None,
        wal_enabled=False,  # a generation is published whole or not at all
    )
    return edge.EdgeShard.create(str(path), config)


def _index_fields(shard: edge.EdgeShard, points: Points) -> None:
    """Index the payload fields that are filtered by; one that is indexed already stays so."""
    for name in (*keyword_fields(points.payloads), _TRUE):
        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Keyword))
    shard.update(edge.UpdateOperation.create_field_index("price", edge.PayloadSchemaType.Float))


def _check(path: Path, reference: str, points: Points) -> None:
    collection = EdgeCollection(path, reference)
    try:
        check_collection(reference, collection, points)
    finally:
        collection.close()


def _point(points: Points, row: int) -> edge.Point:
    return edge.Point(point_id(points.article_ids[row]), points.vectors[row].tolist(), _stored(points.payloads[row]))


def _query(vector: list[float], k: int, narrowed: edge.Filter | None) -> edge.QueryRequest:
    rescored = edge.QuantizationSearchParams(rescore=True, oversampling=2.0)  # without effect on full vectors
    params = edge.SearchParams(hnsw_ef=max(_EF, 2 * k), quantization=rescored)
    nearest = edge.Query.Nearest(vector)
    return edge.QueryRequest(limit=k, query=nearest, filter=narrowed, with_payload=True, params=params)


def _filter(where: ArticleFilter | None) -> edge.Filter | None:
    must: list[edge.ConditionType] = [_condition(each) for each in conditions(where)]
    return edge.Filter(must=must) if must else None


def _condition(wanted: Condition) -> edge.FieldCondition:
    match wanted:
        case OneOf(name, values):
            return edge.FieldCondition(name, match=edge.MatchAny(list(values)))
        case Between(name, low, high):
            return edge.FieldCondition(name, range=edge.RangeFloat(gte=low, lte=high))
        case IsTrue(name):
            return edge.FieldCondition(_TRUE, match=edge.MatchValue(name))


def _stored(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {_TRUE: sorted(name for name, value in payload.items() if value is True)}


def _public(payload: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (payload or {}).items() if name != _TRUE}


def _hits(scored: list[edge.ScoredPoint]) -> list[Hit]:
    hits = []
    for point in scored:
        if point.payload is None:
            raise ThreadlineError(f"the point {point.id} has no payload", REBUILD)
        hits.append(Hit(point.payload["article_id"], point.score, _public(point.payload)))
    return hits
