"""The index at size: `python -m tests.benchmarks.index --articles 1000000`. Prints the table of docs/benchmarks.md.

Build time, memory while searching, recall@50 against exact search (also filtered), and the time of a search, with and
without scalar quantisation. With QDRANT_URL set the same is measured on that server, whose memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.index import ArticleFilter, ArticleIndex, Collection, Points
from serving.index import open_index
from serving.index.edge import EdgeIndex
from tests.benchmarks import made_up

K = 50
NAME = "benchmark"
FILTERS = {
    "recall@50": ArticleFilter(),
    "category (1 in 8)": ArticleFilter(category="dress"),
    "category, colour (1 in 64)": ArticleFilter(category="dress", attributes={"colour": ("navy",)}),
    "price, in stock": ArticleFilter(price_max=20.0, in_stock=True),
}
_BLOCK = 100_000


@dataclass(frozen=True)
class Measured:
    """What a search of the collection showed: shares by filter, and milliseconds."""

    recalls: dict[str, float]
    p50_ms: float
    p99_ms: float
    resident_mib: float


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="a folder for the collections, which another run finds there")
    parser.add_argument("--measure", nargs=2, metavar=("REFERENCE", "DIRECTORY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        _measure_here(*asked.measure, asked.articles, asked.dimension, asked.queries)
        return
    points = made_up.points(asked.articles, asked.dimension)
    rows = []
    with tempfile.TemporaryDirectory() if asked.keep is None else nullcontext(asked.keep) as folder:
        for name, quantised in (("Qdrant Edge", False), ("Qdrant Edge, 8 bits", True)):
            index = EdgeIndex(Path(folder) / name / "index", quantised=quantised)
            build_s, reference = _build(index, points)
            rows.append((name, build_s, _measure(reference, Path(folder) / name, asked)))
        if os.environ.get("QDRANT_URL"):
            index_of_server = open_index(Path(folder), os.environ["QDRANT_URL"], os.environ.get("QDRANT_API_KEY"))
            build_s, reference = _build(index_of_server, points)
            rows.append(("Qdrant server", build_s, _measure(reference, Path(folder), asked)))
            index_of_server.drop(reference)
    print(f"\n{asked.articles:,} articles, {asked.dimension}-d, {asked.queries} queries, {os.cpu_count()} cores\n")
    print(f"| index | build | memory | {' | '.join(FILTERS)} | search p50 | p99 |")
    print("| --- |" + " --- |" * (len(FILTERS) + 4))
    for name, build_s, found in rows:
        recalls = " | ".join(f"{found.recalls[each]:.4f}" for each in FILTERS)
        times = f"{found.p50_ms:.1f} ms | {found.p99_ms:.1f} ms"
        print(f"| {name} | {build_s:.0f} s | {found.resident_mib:,.0f} MiB | {recalls} | {times} |")


def exact(points: Points, wanted: NDArray[np.float32], where: ArticleFilter) -> list[set[str]]:
    """The ids of the K articles that are truly closest, by comparing every vector."""
    passing = np.flatnonzero([_passes(payload, where) for payload in points.payloads])
    best_scores = np.full((len(wanted), 0), -np.inf, dtype=np.float32)
    best_rows = np.zeros((len(wanted), 0), dtype=np.int64)
    for start in range(0, len(passing), _BLOCK):
        rows = passing[start : start + _BLOCK]
        scores = np.concatenate([best_scores, wanted @ points.vectors[rows].T], axis=1)
        rows_of = np.concatenate([best_rows, np.broadcast_to(rows, (len(wanted), len(rows)))], axis=1)
        top = np.argpartition(-scores, min(K, scores.shape[1]) - 1, axis=1)[:, :K]
        best_scores, best_rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows_of, top, 1)
    return [{points.article_ids[row] for row in rows} for rows in best_rows]


def _passes(payload: dict[str, object], where: ArticleFilter) -> bool:
    attributes, price = payload["attributes"], payload["price"]
    assert isinstance(attributes, dict) and isinstance(price, float)
    return (
        where.category in (None, payload["category"])
        and all(attributes.get(name) in values for name, values in where.attributes.items())
        and (where.price_max is None or price <= where.price_max)
        and (not where.in_stock or payload["in_stock"] is True)
    )


def _build(index: ArticleIndex, points: Points) -> tuple[float, str]:
    start = time.perf_counter()
    made = index.reconcile(NAME, points)
    return time.perf_counter() - start, made.reference


def _measure(reference: str, home: Path, asked: argparse.Namespace) -> Measured:
    """Search in a process of its own, so that its memory is that of the open collection."""
    sizes = ["--articles", str(asked.articles), "--dimension", str(asked.dimension), "--queries", str(asked.queries)]
    command = [sys.executable, "-m", "tests.benchmarks.index", *sizes, "--measure", reference, str(home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _measure_here(reference: str, home: str, articles: int, dimension: int, count: int) -> None:
    collection = open_index(Path(home), os.environ.get("QDRANT_URL"), os.environ.get("QDRANT_API_KEY")).open(reference)
    wanted = made_up.queries(count, made_up.vectors(articles, dimension))
    found = {name: _search(collection, wanted, where) for name, where in FILTERS.items()}
    resident_mib = _resident_mib()  # before the points are made up again
    points = made_up.points(articles, dimension)
    wanted_of = {name: exact(points, wanted, where) for name, where in FILTERS.items()}
    recalls = {name: _recall([ids for ids, _ in found[name]], wanted_of[name]) for name in FILTERS}
    times_ms = sorted(ms for _, ms in found["recall@50"])
    measured = Measured(recalls, statistics.median(times_ms), times_ms[int(0.99 * len(times_ms))], resident_mib)
    print(json.dumps(vars(measured)))
    collection.close()


def _search(collection: Collection, wanted: NDArray[np.float32], where: ArticleFilter) -> list[tuple[set[str], float]]:
    answers = []
    for query in wanted:
        start = time.perf_counter()
        hits = collection.search(query[None], K, where)[0]
        answers.append(({hit.article_id for hit in hits}, (time.perf_counter() - start) * 1000))
    return answers


def _recall(found: list[set[str]], wanted: list[set[str]]) -> float:
    return statistics.fmean(len(one & other) / len(other) for one, other in zip(found, wanted, strict=True))


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
