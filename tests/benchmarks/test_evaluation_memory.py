"""The memory that an evaluation of 20,000 queries against 50,000 articles takes, measured in a process of its own.

`python tests/benchmarks/test_evaluation_memory.py 1280 8`, the dimension and the number of categories, prints the peak
in MiB and the seconds it took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
QUERIES, ARTICLES = 20_000, 50_000


def measure(dimension: int, categories: int) -> dict[str, float]:
    """Evaluate generated vectors, with intervals; two or more categories are told apart."""
    from orchestration.evaluation import Embedded, evaluate
    from orchestration.memory import peak_mib
    from training.sets import ArticleImages, LookPhoto

    random = np.random.default_rng(0)
    gallery = random.standard_normal((ARTICLES, dimension), dtype=np.float32)
    shown = random.integers(0, ARTICLES, QUERIES)
    queries = gallery[shown] + 0.5 * random.standard_normal((QUERIES, dimension), dtype=np.float32)
    articles = tuple(
        ArticleImages(f"a{n}", (Path("x"),), ("",), f"category {n % categories}", {}, "test") for n in range(ARTICLES)
    )
    photos = tuple(
        LookPhoto(f"p{n}", "studio", Path("x"), "", None, "", (f"a{article}",), "test")
        for n, article in enumerate(shown)
    )
    session = SimpleNamespace(package=SimpleNamespace(digest="d", method="m"), precision="float32")
    embedded = Embedded(photos, queries, articles, gallery, gallery, np.arange(ARTICLES))
    started = time.monotonic()
    found = evaluate(session, embedded, {})
    # Not of getrusage: what a process inherits there is the peak of the one that started it.
    return {"acc_1": found.scores["test"].acc[1], "peak_mib": peak_mib(), "seconds": time.monotonic() - started}


@pytest.mark.slow
def test_twenty_thousand_queries_against_fifty_thousand_articles_stay_under_two_gib() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, __file__, "32", "1"], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["acc_1"] > 0.5
    assert found["peak_mib"] < 2048


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
