"""The index on a Qdrant server or cluster: one collection a name, changed in place, point by point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from contracts.errors import ThreadlineError
from contracts.index import ArticleFilter, Collection, Hit, IndexUnavailable, Points, Reconciled, point_id
from serving.index.conditions import Between, Condition, IsTrue, OneOf, conditions, keyword_fields
from serving.index.difference import REBUILD, Difference, Digests, check_collection, check_points, chunks, difference
from serving.index.layout import Layout, Quantisation

_VECTOR_DIGEST = "_vector_digest"
_PAYLOAD_DIGEST = "_payload_digest"
_PRIVATE = (_VECTOR_DIGEST, _PAYLOAD_DIGEST)

_WRITE = 500
_READ = 1_000
_SCROLL = 5_000
_QUERIES = 64
_CATEGORIES = 10_000
_EXACTLY = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=2.0))


class ServerIndex:
    """Collections of the server that `client` talks to; new ones get `layout`. A reference is the collection's name."""

    def __init__(self, client: QdrantClient, layout: Layout | None = None) -> None:
        self._client = client
        self._layout = layout or Layout()

    def reconcile(self, name: str, points: Points, *, afresh: bool = False) -> Reconciled:
        """Bring the collection `name` to exactly `points`, in place; each point changes at once.

        `afresh` writes every point again, whatever digest the collection has of it. Raises ThreadlineError when it
        holds vectors of another length, or not exactly the wanted points afterwards.
        """
        check_points(points)
        self._create_or_check(name, points.vectors.shape[1])
        self._index_fields(name, points)
        digests = points.payload_digests()
        present = self._present(name)
        change = difference(points, digests, dict.fromkeys(present, ("", "")) if afresh else present)
        self._apply(name, points, digests, change)
        check_collection(name, ServerCollection(self._client, name), points)
        counts = len(change.vectors), len(change.payloads), len(change.deleted)
        return Reconciled(name, len(points.article_ids), *counts)

    def open(self, reference: str) -> Collection:
        """The collection `reference`. Raises ThreadlineError when the server has none of that name."""
        with _answering():
            exists = self._client.collection_exists(reference)
        if not exists:
            raise ThreadlineError(f"there is no collection '{reference}'", REBUILD)
        return ServerCollection(self._client, reference)

    def references(self) -> list[str]:
        """Every collection of the server."""
        return sorted(each.name for each in self._client.get_collections().collections)

    def drop(self, reference: str) -> None:
        """Remove a collection; nothing happens when it is gone already."""
        if self._client.collection_exists(reference):
            self._client.delete_collection(reference)

    def _create_or_check(self, name: str, dimension: int) -> None:
        if not self._client.collection_exists(name):
            self._client.create_collection(name, **_laid_out(self._layout, dimension))
            return
        held = self._client.get_collection(name).config.params.vectors
        if not isinstance(held, models.VectorParams) or held.size != max(1, dimension):
            raise ThreadlineError(
                f"the collection '{name}' does not hold vectors of length {dimension}",
                "give the new vectors a new name",
            )

    def _index_fields(self, name: str, points: Points) -> None:
        """Index the payload fields that are filtered by, those that are not indexed yet."""
        wanted = dict.fromkeys(keyword_fields(points.payloads), models.PayloadSchemaType.KEYWORD)
        wanted |= {"price": models.PayloadSchemaType.FLOAT, "in_stock": models.PayloadSchemaType.BOOL}
        held = self._client.get_collection(name).payload_schema
        for field in wanted.keys() - held.keys():
            self._client.create_payload_index(name, field, wanted[field])

    def _present(self, name: str) -> dict[str, Digests]:
        present: dict[str, Digests] = {}
        offset: Any = None
        wanted = ["article_id", *_PRIVATE]
        while True:
            records, offset = self._client.scroll(name, limit=_SCROLL, offset=offset, with_payload=wanted)
            for payload in (record.payload or {} for record in records):
                held = payload.get(_VECTOR_DIGEST, ""), payload.get(_PAYLOAD_DIGEST, "")
                present[payload["article_id"]] = held
            if offset is None:
                return present

    def _apply(self, name: str, points: Points, digests: Sequence[str], change: Difference) -> None:
        for rows in chunks(len(change.deleted), _READ):
            gone: list[models.ExtendedPointId] = [point_id(key) for key in change.deleted[rows]]
            self._client.delete(name, models.PointIdsList(points=gone))
        for rows in chunks(len(change.vectors), _WRITE):
            self._client.upsert(name, [_point(points, digests, row) for row in change.vectors[rows]])
        for rows in chunks(len(change.payloads), _WRITE):
            self._client.batch_update_points(name, [_overwrite(points, digests, row) for row in change.payloads[rows]])


class ServerCollection:
    """The collection `name` of a server."""

    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client = client
        self._name = name

    def search(self, vectors: NDArray[np.float32], k: int, where: ArticleFilter | None = None) -> list[list[Hit]]:
        """The `k` closest articles to each row of `vectors` (Q, D), closest first."""
        if k < 1:
            return [[] for _ in vectors]
        found: list[list[Hit]] = []
        narrowed = _filter(where)
        for rows in chunks(len(vectors), _QUERIES):
            queries = [
                models.QueryRequest(query=vector, limit=k, filter=narrowed, params=_EXACTLY, with_payload=True)
                for vector in vectors[rows].tolist()
            ]
            with _answering():
                found += [_hits(answer.points) for answer in self._client.query_batch_points(self._name, queries)]
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
        with _answering():
            return self._client.count(self._name, exact=True).count

    def categories(self) -> dict[str, int]:
        """How many articles each category has, the largest first."""
        with _answering():
            hits = self._client.facet(self._name, "category", limit=_CATEGORIES, exact=True).hits
        return {str(hit.value): hit.count for hit in sorted(hits, key=lambda hit: (-hit.count, str(hit.value)))}

    def close(self) -> None:
        """Nothing is held open: the client is the index's."""

    def _records(self, article_ids: Sequence[str], *, with_vector: bool = False) -> dict[str, models.Record]:
        points = {point_id(article_id): article_id for article_id in article_ids}
        wanted = list(points)
        records: list[models.Record] = []
        for rows in chunks(len(wanted), _READ):
            ids: list[models.ExtendedPointId] = list(wanted[rows])
            with _answering():
                records += self._client.retrieve(
                    self._name, ids, with_payload=not with_vector, with_vectors=with_vector
                )
        return {points[str(record.id)]: record for record in records}


def _laid_out(layout: Layout, dimension: int) -> dict[str, Any]:
    """The arguments of `create_collection` for vectors of length `dimension`, compared by cosine."""
    size = max(1, dimension)
    params = models.VectorParams(size=size, distance=models.Distance.COSINE, on_disk=layout.on_disk or None)
    return {
        "vectors_config": params,
        "shard_number": layout.shards,
        "replication_factor": layout.replicas,
        "write_consistency_factor": layout.write_consistency,
        "quantization_config": _quantised(layout.quantisation),
    }


def _quantised(how: Quantisation) -> models.ScalarQuantization | models.BinaryQuantization | None:
    match how:
        case "none":
            return None
        case "int8":
            scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
            return models.ScalarQuantization(scalar=scalar)
        case "binary":
            return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))


def _point(points: Points, digests: Sequence[str], row: int) -> models.PointStruct:
    key = point_id(points.article_ids[row])
    return models.PointStruct(id=key, vector=points.vectors[row].tolist(), payload=_payload(points, digests, row))


def _overwrite(points: Points, digests: Sequence[str], row: int) -> models.OverwritePayloadOperation:
    written = models.SetPayload(payload=_payload(points, digests, row), points=[point_id(points.article_ids[row])])
    return models.OverwritePayloadOperation(overwrite_payload=written)


def _payload(points: Points, digests: Sequence[str], row: int) -> dict[str, Any]:
    return points.payloads[row] | {_VECTOR_DIGEST: points.vector_digests[row], _PAYLOAD_DIGEST: digests[row]}


def _public(payload: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (payload or {}).items() if key not in _PRIVATE}


def _filter(where: ArticleFilter | None) -> models.Filter | None:
    must: list[models.Condition] = [_condition(each) for each in conditions(where)]
    return models.Filter(must=must) if must else None


def _condition(wanted: Condition) -> models.FieldCondition:
    match wanted:
        case OneOf(name, values):
            return models.FieldCondition(key=name, match=models.MatchAny(any=list(values)))
        case Between(name, low, high):
            return models.FieldCondition(key=name, range=models.Range(gte=low, lte=high))
        case IsTrue(name):
            return models.FieldCondition(key=name, match=models.MatchValue(value=True))


def _hits(scored: Sequence[models.ScoredPoint]) -> list[Hit]:
    payloads = [_public(point.payload) for point in scored]
    return [Hit(payload["article_id"], point.score, payload) for point, payload in zip(scored, payloads, strict=True)]


@contextmanager
def _answering() -> Iterator[None]:
    """Tell a server that is away, slow or overloaded from a wrong request: raises IndexUnavailable."""
    try:
        yield
    except UnexpectedResponse as error:
        if error.status_code is not None and error.status_code < 500:
            raise
        raise _unavailable(error) from error
    except (ApiException, QdrantException) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> IndexUnavailable:
    what = str(error).strip().partition("\n")[0] or type(error).__name__
    return IndexUnavailable(f"the Qdrant server does not answer: {what}", "see whether it runs and is not overloaded")
