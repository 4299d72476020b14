"""A catalogue at size, without pictures: `python -m tests.benchmarks.million --articles 1000000 --batches 1000`.

Real batch tables, a real manifest and generated features go through what stands behind the graph's assets, to the
index and to the automation's tick, and then once more with another batch: a tenth new articles, the rest new prices.
Each step works in a process of its own, as a run's does, so that its memory is its own. Prints the table of
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import cast

from contracts.batches import Article, write_catalogue_batch
from contracts.files import digest_of, sha256_of_bytes
from contracts.index import ArticleFilter
from contracts.ledger import LedgerRow, write_ledger
from contracts.model_package import ModelPackage, Sizes, graph_path, write_package
from contracts.splits import SplitShares
from orchestration.definitions import build_definitions
from orchestration.embedding import article_store, embed_articles, write_vectors
from orchestration.features import CHUNK
from orchestration.instance import open_instance
from orchestration.memory import forget_peak, peak_mib
from orchestration.observation import observe, record
from orchestration.points import collection_name, gather_points
from orchestration.resources import Workspace
from orchestration.rows import write_rows
from orchestration.silence import silent
from orchestration.splitting import update_splits
from orchestration.tables import build_catalogue, merge_catalogue
from orchestration.training_sets import article_rows, version_of
from orchestration.workspace_tables import read_catalogue, read_sides
from serving.inference import PackageSession, unit
from tests.benchmarks import made_up
from tests.benchmarks.automation import make_workspace, pretend_made, tick
from training.sets import ArticleImages

TICKS = 5
SEARCHES = 200
NEW_SHARE = 0.1
"""Of the last batch: articles that were not there. The others have another price, and no new picture."""


@dataclass(frozen=True)
class Given:
    """The simulation: `articles` in `batches` equal batches of a workspace in `root`, and after them one more."""

    root: Path
    articles: int
    batches: int
    dimension: int

    @property
    def a_batch(self) -> int:
        """How many articles a batch has."""
        return self.articles // self.batches

    @property
    def workspace(self) -> Workspace:
        """The workspace; every step opens it anew."""
        return Workspace(self.root)

    @property
    def package(self) -> ModelPackage:
        """The package that serves, as far as the index knows it: its features are its vectors."""
        size = (192, 144)
        return ModelPackage(
            method="generated",
            kind="matching",
            sizes=Sizes(photo=size, article=size),
            dimension=self.dimension,
            files={"photo_encoder": "generated", "article_encoder": "generated"},
        )


@dataclass(frozen=True)
class Measured:
    """What a step took: seconds on the clock and of the processor, MiB at its peak; and what it says of itself."""

    name: str
    wall_s: float
    cpu_s: float
    peak_mib: int
    remark: str

    def row(self) -> str:
        """The row of the table."""
        return f"| {self.name} | {self.wall_s:.1f} s | {self.cpu_s:.1f} s | {self.peak_mib:,} MiB | {self.remark} |"


def batch_name(batch: int) -> str:
    """As `make_workspace` names it."""
    return f"b{batch:04d}"


def make_article(number: int, image: int) -> Article:
    """A made-up article with the picture number `image` of its batch."""
    told = made_up.payload(number)
    return Article(
        f"article-{number:09d}",
        name=told["name"],
        category=told["category"],
        attributes={**told["attributes"], "gender": "women" if number % 2 else "men", "brand": f"brand {number % 97}"},
        assortments=tuple(told["assortments"]),
        images=(f"images/{image:06d}.jpg",),
        sha256=(image_digest(number),),
        url=f"https://shop.example/articles/{number}",
        price=told["price"],
        in_stock=told["in_stock"],
    )


def image_digest(number: int) -> str:
    """What would be the digest of an article's picture."""
    return sha256_of_bytes(number.to_bytes(8, "big"))


def deliver(given: Given) -> None:
    """Write the batches' tables, the manifest, the package and the features that would have been computed."""
    make_workspace(given.root, given.batches, given.a_batch)
    for batch in range(given.batches):
        first = batch * given.a_batch
        _write_batch(given, batch, [make_article(first + image, image) for image in range(given.a_batch)])
    _write_ledger(given, given.batches)
    root = given.workspace.home.package(given.package.digest)
    root.mkdir(parents=True)
    for graph in given.package.files:
        graph_path(root, graph).touch()
    write_package(root, given.package)
    _keep_features(given, 0, made_up.vectors(given.articles, given.dimension))


def deliver_another(given: Given) -> None:
    """Write one more batch: a tenth are new articles with pictures, the rest have another price."""
    make_workspace(given.root, given.batches + 1, given.a_batch)
    count = round(NEW_SHARE * given.a_batch)
    fresh = [make_article(given.articles + image, image) for image in range(count)]
    dearer = [Article(f"article-{number:09d}", price=999.0) for number in range(given.a_batch - count)]
    _write_batch(given, given.batches, [*fresh, *dearer])
    _write_ledger(given, given.batches + 1)
    _keep_features(given, given.articles, made_up.vectors(count, given.dimension, seed=1))


def observing(given: Given) -> str:
    """Telling Dagster of the batches that the manifest names."""
    definitions = build_definitions(given.workspace)
    with open_instance(given.workspace.home) as instance:
        found = observe(given.workspace, instance, definitions.resolve_asset_graph())
        record(found, instance)
    return f"{len(found.added['catalogue']):,} batches"


def making_catalogue(given: Given) -> str:
    """The asset `catalogue`."""
    workspace = given.workspace
    articles, _ = build_catalogue(workspace.data, _present(given), workspace.home.catalogue)
    return f"{len(articles):,} articles"


def making_splits(given: Given) -> str:
    """The asset `splits`."""
    articles = read_catalogue(given.workspace)
    result, _ = update_splits(given.workspace.home.splits, articles, [], [], SplitShares())
    return f"{len(result.sides):,} members"


def making_attribute_set(given: Given) -> str:
    """The asset `attribute_set`."""
    rows = article_rows(read_catalogue(given.workspace), read_sides(given.workspace))
    write_rows(given.workspace.home.derived("attribute_set"), rows, ArticleImages)
    version_of(rows)
    return f"{len(rows):,} articles"


def making_vectors(given: Given) -> str:
    """The partitions of the asset `article_vectors`, those that are not there yet, in one process."""
    workspace, session = given.workspace, _session(given)
    count = 0
    for name in _present(given):
        if not workspace.home.vectors(name).exists():
            articles = merge_catalogue([(name, workspace.catalogue_batch(name))])
            vectors, computed = embed_articles(session, workspace.home, articles, workspace.data, silent)
            assert computed == 0, "features are missing"
            write_vectors(workspace.home.vectors(name), vectors)
            digest_of([vectors.article_ids, vectors.digests])
            count += len(vectors.article_ids)
    return f"{count:,} vectors"


def making_index(given: Given) -> str:
    """The asset `article_index`."""
    workspace, digest = given.workspace, given.package.digest
    points = gather_points(workspace, read_catalogue(workspace), digest)
    result = workspace.index.reconcile(collection_name(digest), points)
    digest_of([digest, points.vector_digests, points.payload_digests()])
    assert result.count == len(points.article_ids)
    return f"{result.vectors_written:,} vectors and {result.payloads_written:,} payloads written"


def searching(given: Given) -> str:
    """Opening the collection as the service does, and searching it with and without a filter."""
    index = given.workspace.index
    collection = index.open(index.references()[-1])
    wanted = made_up.vectors(SEARCHES, given.dimension, seed=2)
    times_ms = []
    for where in (ArticleFilter(), ArticleFilter(category="dress", in_stock=True)):
        for query in wanted:
            started = time.perf_counter()
            assert len(collection.search(query[None], 50, where)[0]) == 50
            times_ms.append(1000 * (time.perf_counter() - started))
    collection.close()
    plain_ms, filtered_ms = median(times_ms[:SEARCHES]), median(times_ms[SEARCHES:])
    return f"a search {plain_ms:.1f} ms, with a filter {filtered_ms:.1f} ms (medians)"


def ticking(given: Given) -> str:
    """The automation's look while nothing changed, some times over, as the daemon does."""
    definitions = build_definitions(given.workspace)
    with open_instance(given.workspace.home) as instance:
        times_s = [tick(given.workspace, instance, definitions)[0] for _ in range(TICKS)]
    return f"the first {times_s[0]:.2f} s, then {median(times_s[1:]):.2f} s each"


def recording(given: Given) -> str:
    """Telling Dagster that everything was made."""
    definitions = build_definitions(given.workspace)
    with open_instance(given.workspace.home) as instance:
        pretend_made(instance, definitions.resolve_asset_graph(), {})
    return "every asset and partition"


FIRST: Mapping[str, Callable[[Given], str]] = {
    "manifest read, batches told": observing,
    "`catalogue`": making_catalogue,
    "`splits`": making_splits,
    "`attribute_set`": making_attribute_set,
    "`article_vectors`, networks aside": making_vectors,
    "`article_index`": making_index,
    "collection opened and searched": searching,
    "what was made recorded": recording,
    f"{TICKS} ticks, nothing changed": ticking,
}
AFTERWARDS: Mapping[str, Callable[[Given], str]] = {
    "another batch told": observing,
    "`catalogue` with it": making_catalogue,
    "its `article_vectors`, networks aside": making_vectors,
    "`article_index` with it": making_index,
}


def run(given: Given) -> Iterator[Measured]:
    """All steps, one after another; what prepares them is measured too."""
    yield _measure("delivery made up", deliver, given)
    for name, step in FIRST.items():
        yield _measure(name, step, given)
    yield _measure("another batch made up", deliver_another, given)
    for name, step in AFTERWARDS.items():
        yield _measure(name, step, given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=1000, help="equal ones, of which one more comes at the end")
    parser.add_argument("--dimension", type=int, default=256, help="of a vector")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="threadline-bench-") as folder:
        given = Given(Path(folder), asked.articles, asked.batches, asked.dimension)
        cores = f"{os.cpu_count()} cores"
        print(f"\n{given.articles:,} articles in {given.batches:,} batches, {given.dimension}-d, {cores}\n")
        print("| step | wall time | CPU time | peak memory | |\n| --- | --- | --- | --- | --- |")
        total_s, largest_mib = 0.0, 0
        for measured in run(given):
            print(measured.row(), flush=True)
            total_s += measured.wall_s
            largest_mib = max(largest_mib, measured.peak_mib)
    print(f"\nTogether {total_s / 60:.1f} min, at most {largest_mib:,} MiB.")


def _measure(name: str, step: Callable[[Given], str | None], given: Given) -> Measured:
    """The step in a fresh process; what it imports is there before the clock starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure_here, name, step, given).result()


def _measure_here(name: str, step: Callable[[Given], str | None], given: Given) -> Measured:
    forget_peak()
    wall_s, before = time.perf_counter(), os.times()
    remark = step(given) or ""
    after = os.times()
    used_s = (after.user + after.system) - (before.user + before.system)
    return Measured(name, time.perf_counter() - wall_s, used_s, peak_mib(), remark)


def _present(given: Given) -> list[str]:
    return sorted(path.name for path in (given.workspace.data / "catalogue").iterdir())


def _write_batch(given: Given, batch: int, articles: Sequence[Article]) -> None:
    root = given.workspace.places.accepted("catalogue", batch_name(batch))
    root.mkdir(parents=True)
    write_catalogue_batch(root, articles)


def _write_ledger(given: Given, batches: int) -> None:
    rows = [
        LedgerRow(n, "catalogue", batch_name(n), "the benchmark", "2026-01-01T00:00:00+00:00", "accepted", "")
        for n in range(batches)
    ]
    write_ledger(given.workspace.data, rows)


def _keep_features(given: Given, first: int, features: made_up.Floats) -> None:
    """Keep the features of the articles from the number `first` on, in pieces as embedding would."""
    session = _session(given)
    store = article_store(session, given.workspace.home)
    for start in range(0, len(features), CHUNK):
        rows = features[start : start + CHUNK]
        store.add([image_digest(first + start + row) for row in range(len(rows))], rows)


def _session(given: Given) -> PackageSession:
    """A package whose networks nobody runs: every feature is kept already, and is the vector."""
    networks = {"article_features": None, "article_vectors": unit}
    return cast("PackageSession", SimpleNamespace(package=given.package, precision="float32", **networks))


if __name__ == "__main__":
    main()
