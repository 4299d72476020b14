"""What only the embedded index promises: generations, private copies, and repair after a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ThreadlineError
from contracts.index import ArticleFilter, Points
from serving.index import edge
from serving.index.edge import EdgeIndex
from serving.index.generations import NEVER_WRITTEN, copy_tree

ROOT = Path(__file__).resolve().parents[2]


def make(count: int, dimension: int = 16, seed: int = 0) -> Points:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = tuple(f"a{number}" for number in range(count))
    payloads = tuple({"article_id": each, "category": "dress", "assortments": ["all"]} for each in ids)
    return Points(ids, vectors, tuple(f"{seed}:{each}" for each in ids), payloads)


def first(points: Points, count: int) -> Points:
    return Points(
        points.article_ids[:count], points.vectors[:count], points.vector_digests[:count], points.payloads[:count]
    )


def content(path: Path) -> dict[str, str]:
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_an_old_generation_is_readable_while_and_after_a_new_one_is_made(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    old = index.reconcile("c", make(10))
    reader = index.open(old.reference)
    new = index.reconcile("c", first(make(10), 7))
    assert new.reference != old.reference
    assert index.references() == [old.reference, new.reference]
    assert reader.count() == 10
    late = index.open(old.reference)
    assert late.count() == 10
    index.drop(old.reference)
    assert reader.search(make(10).vectors[9:], 1)[0][0].article_id == "a9"
    assert late.count() == 10
    reader.close()
    late.close()


def test_a_generation_never_changes(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    reference = index.reconcile("c", make(10)).reference
    before = content(tmp_path / reference)
    collection = index.open(reference)
    collection.search(make(10).vectors, 3)
    collection.close()
    index.reconcile("c", first(make(10), 5))
    assert content(tmp_path / reference) == before


def test_closing_removes_the_private_copy(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    collection = index.open(index.reconcile("c", make(4)).reference)
    assert len(list((tmp_path / ".open").glob("[!.]*"))) == 1
    collection.close()
    collection.close()
    assert list((tmp_path / ".open").glob("[!.]*")) == []


def test_the_private_copy_goes_even_when_the_engine_cannot_close(tmp_path: Path) -> None:
    class Damaged:
        def close(self) -> None:
            raise BaseException("panic")

    index = EdgeIndex(tmp_path)
    collection = index.open(index.reconcile("c", make(4)).reference)
    collection._shard.close()  # type: ignore[attr-defined]
    collection._shard = Damaged()  # type: ignore[attr-defined]
    with pytest.raises(BaseException, match="panic"):
        collection.close()
    assert list((tmp_path / ".open").glob("[!.]*")) == []


def test_references_never_come_back(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    one = index.reconcile("c", make(4)).reference
    index.drop(one)
    assert index.reconcile("c", make(4)).reference != one


@pytest.mark.parametrize("reference", ["", "c", "c/", "../c/000001-00000000", "c/../d", "/etc/passwd", "c/.lock"])
def test_a_malformed_reference_opens_and_drops_nothing(tmp_path: Path, reference: str) -> None:
    index = EdgeIndex(tmp_path / "index")
    kept = index.reconcile("c", make(2)).reference
    with pytest.raises(ThreadlineError, match="there is no collection"):
        index.open(reference)
    index.drop(reference)
    assert index.references() == [kept]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".open", "a b"])
def test_a_name_that_is_no_directory_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ThreadlineError, match="cannot name a collection"):
        EdgeIndex(tmp_path).reconcile(name, make(2))


def test_vectors_of_another_length_start_a_fresh_shard(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    index.reconcile("c", make(6))
    made = index.reconcile("c", make(5, dimension=8))
    assert (made.count, made.vectors_written, made.deleted) == (5, 5, 1)
    collection = index.open(made.reference)
    assert collection.search(make(5, dimension=8).vectors[2:3], 1)[0][0].article_id == "a2"
    collection.close()


def test_a_failure_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = EdgeIndex(tmp_path)
    old = index.reconcile("c", make(6)).reference

    def fail(*_: object) -> None:
        raise ThreadlineError("it does not hold what it should", "build it again")

    with monkeypatch.context() as patched:
        patched.setattr(edge, "check_collection", fail)
        with pytest.raises(ThreadlineError, match="does not hold"):
            index.reconcile("c", make(7))
    assert index.references() == [old]
    assert [path.name for path in (tmp_path / "c").iterdir() if path.name != ".lock"] == [old.partition("/")[2]]
    assert index.reconcile("c", make(7)).vectors_written == 1


def test_a_graph_is_built_for_many_points_and_survives_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "PLAIN_UP_TO", 500)
    index, points = EdgeIndex(tmp_path), make(3000, dimension=32)
    index.reconcile("c", first(points, 2900))
    reference = index.reconcile("c", points).reference
    assert list((tmp_path / reference).rglob("graph.bin"))
    collection = index.open(reference)
    hits = collection.search(points.vectors[::50], 1)
    assert np.mean([hit[0].article_id == f"a{row * 50}" for row, hit in enumerate(hits)]) >= 0.95
    collection.close()


@pytest.mark.parametrize("links", [True, False])
def test_who_opens_a_large_collection_shares_its_vectors_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(edge, "PLAIN_UP_TO", 500)
    index, points = EdgeIndex(tmp_path), make(3000, dimension=32)
    reference = index.reconcile("c", points).reference
    before = content(tmp_path / reference)
    assert {Path(name).name for name in before} >= NEVER_WRITTEN
    collection = index.open(reference)
    assert len(collection.search(points.vectors[:3], 10, ArticleFilter(category="dress"))[2]) > 0
    files = [file for file in (tmp_path / reference).rglob("*") if file.is_file()]
    shared = {file.name for file in files if file.stat().st_nlink > 1}
    assert shared == (NEVER_WRITTEN if links else set())
    collection.close()
    assert content(tmp_path / reference) == before
    assert not list((tmp_path / ".open").glob("[!.]*"))


@pytest.mark.parametrize(("one_in", "least"), [(10, 1.0), (3, 0.95)])
def test_a_filter_finds_the_closest_of_what_passes_whether_compared_or_by_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_in: int, least: float
) -> None:
    monkeypatch.setattr(edge, "PLAIN_UP_TO", 500)
    made = make(3000, dimension=32)
    passing = np.arange(0, 3000, one_in)
    payloads = tuple(
        {**payload, "category": "skirt" if row % one_in == 0 else "dress"} for row, payload in enumerate(made.payloads)
    )
    index = EdgeIndex(tmp_path)
    collection = index.open(index.reconcile("c", dataclasses.replace(made, payloads=payloads)).reference)
    queries = made.vectors[1::100]
    shares = []
    for query, hits in zip(queries, collection.search(queries, 10, ArticleFilter(category="skirt")), strict=True):
        closest = passing[np.argsort(-(made.vectors[passing] @ query))[:10]]
        shares.append(len({hit.article_id for hit in hits} & {f"a{row}" for row in closest}) / 10)
    assert np.mean(shares) >= least
    collection.close()


@pytest.mark.parametrize("by_kernel", [True, False])
def test_holes_are_not_filled_by_copying(tmp_path: Path, by_kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not by_kernel:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    (tmp_path / "one" / "deep").mkdir(parents=True)
    with (tmp_path / "one" / "deep" / "file").open("wb") as file:
        file.seek(1 << 22)
        file.write(b"data")
        file.truncate(1 << 24)
    copy_tree(tmp_path / "one", tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    sizes = [(tmp_path / each / "deep" / "file").stat().st_blocks for each in ("one", "two")]
    assert sizes[1] <= sizes[0] + 8


def test_another_process_opens_the_same_generation_at_the_same_time(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    reference = index.reconcile("c", make(12)).reference
    collection = index.open(reference)
    program = (
        "import sys; from pathlib import Path; from serving.index.edge import EdgeIndex\n"
        "print(EdgeIndex(Path(sys.argv[1])).open(sys.argv[2]).count())"
    )
    command = [sys.executable, "-c", program, str(tmp_path), reference]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert done.stdout.strip() == "12"
    assert collection.count() == 12
    # the other process ended without closing: its copy goes with the next opening, ours stays
    index.open(reference).close()
    assert len(list((tmp_path / ".open").glob("[!.]*"))) == 1
    collection.close()


_RECONCILE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_index_edge as own
from serving.index import edge
flushed = edge.check_collection
def stall(*arguments):
    Path(sys.argv[3]).touch()
    import time; time.sleep(60)
edge.check_collection = stall
edge.EdgeIndex(Path(sys.argv[1])).reconcile("c", own.make(20))
"""


def test_a_kill_while_reconciling_leaves_the_old_state_and_is_repaired(tmp_path: Path) -> None:
    root, reached = tmp_path / "index", tmp_path / "reached"
    index = EdgeIndex(root)
    old = index.reconcile("c", make(10)).reference
    before = content(root / old)
    command = [sys.executable, "-c", _RECONCILE, str(root), str(Path(__file__).parent), str(reached)]
    builder = subprocess.Popen(command, cwd=ROOT)
    for _ in range(600):
        if reached.exists():
            break
        time.sleep(0.05)
    assert reached.exists()
    os.kill(builder.pid, signal.SIGKILL)
    builder.wait()

    def drafts() -> list[Path]:
        return [path for path in (root / "c").glob(".*") if path.is_dir()]

    assert drafts()
    assert index.references() == [old]
    assert content(root / old) == before
    made = index.reconcile("c", make(20))
    assert (made.count, made.vectors_written) == (20, 10)
    assert drafts() == []
    assert content(root / old) == before


@pytest.mark.slow
def test_fifty_thousand_articles_are_taken_in_within_seconds(tmp_path: Path) -> None:
    index, points = EdgeIndex(tmp_path), make(50_000, dimension=256)
    started = time.monotonic()
    index.reconcile("c", first(points, 49_500))
    full_s, started = time.monotonic() - started, time.monotonic()
    assert index.reconcile("c", points).vectors_written == 500
    changed_s = time.monotonic() - started
    print(f"50,000 x 256: all {full_s:.1f} s, 1 % more {changed_s:.1f} s")
    assert full_s < 30
    assert changed_s < 15
