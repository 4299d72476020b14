"""The service at size: `python -m tests.benchmarks.service --articles 1000000`; prints tables for docs/benchmarks.md.

A photo of 1080 x 1440 pixels to 50 articles, over real HTTP, with a package that segments (the first one in the home of
this checkout, which `make demo` makes, unless `--package` names another): one client, then eight.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from contracts.errors import ThreadlineError
from contracts.model_package import read_package
from orchestration.tracking import log_training, register_serving
from serving.client import SearchClient
from serving.index import open_index
from serving.index.generations import copy_tree
from serving.registry import MlflowRegistry
from serving.settings import Settings
from tests.benchmarks import made_up

ROOT = Path(__file__).parents[2]
K = 50
CLIENTS = 8
PHOTO = (1080, 1440)
STAGES = ("decode", "segment", "encode", "search", "serialise and transport")


@dataclass(frozen=True)
class Answered:
    """One answer: its milliseconds for the client, and those of each stage in the service."""

    ms: float
    took_ms: dict[str, float]


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=1_000_000)
    parser.add_argument("--package", type=Path, help="the folder of a matching package that segments")
    parser.add_argument("--index", type=Path, help="an `index` folder that `tests.benchmarks.index --keep` left")
    parser.add_argument("--requests", type=int, default=500, help="of the one client")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the eight clients ask")
    asked = parser.parse_args()
    package = asked.package or _package_of_this_checkout()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home", data=Path(folder) / "data", query_log="off")
        settings.home.mkdir(parents=True)
        if asked.index is not None:
            copy_tree(asked.index, settings.home / "index")
        publish(settings, package, asked.articles)
        start = time.perf_counter()
        with service(settings):
            first_s = time.perf_counter() - start
        start = time.perf_counter()
        with service(settings) as (url, process):
            again_s = time.perf_counter() - start
            photos = [_photo(path) for path in sorted(settings.samples.glob("*.jpg"))]
            ask(url, photos, requests=40)
            alone = ask(url, photos, requests=asked.requests)
            together = ask_together(url, photos, asked.seconds)
            resident_mib = _resident_mib(process)
    print(f"\n{asked.articles:,} articles, {read_package(package).method}, {os.cpu_count()} cores\n")
    print(f"start to ready {first_s:.1f} s on a machine that never ran the package, {again_s:.1f} s from then on")
    print(f"resident memory {resident_mib:,.0f} MiB\n")
    _print_latency(alone)
    _print_together(together, asked.seconds)


def publish(settings: Settings, package: Path, articles: int) -> None:
    """Make a home whose champion is `package` with a collection of made-up articles."""
    method = read_package(package).method
    database = settings.home / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    artifacts = str(settings.home / "mlflow" / "artifacts")
    logged = log_training(settings.tracking_uri, artifacts, "benchmark", method, package, {}, [], [], {})
    version = register_serving(settings.tracking_uri, method, logged.version)
    points = made_up.points(articles, read_package(package).dimension)
    made = open_index(settings.home, settings.qdrant_url).reconcile("benchmark", points)
    MlflowRegistry(settings.tracking_uri).publish(version, made.reference)


@contextmanager
def service(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of the service, ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving", "--port", str(port), "--home", str(settings.home)]
    environment = {**os.environ, "THREADLINE_QUERY_LOG": "off"}
    process = subprocess.Popen([*command, "--data", str(settings.data)], cwd=ROOT, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        with SearchClient(url) as client:
            while not client.is_ready():
                if process.poll() is not None:
                    raise ThreadlineError("the service ended by itself", "read what it printed above")
                time.sleep(0.02)
        yield url, process
    finally:
        process.terminate()
        process.wait()


def ask(
    url: str, photos: Sequence[bytes], requests: int = sys.maxsize, until_s: float = float("inf")
) -> list[Answered]:
    """Search with one photo after the other, `requests` times or until the moment `until_s` of `time.monotonic`."""
    answered = []
    with SearchClient(url) as client:
        while len(answered) < requests and time.monotonic() < until_s:
            start = time.perf_counter()
            answer = client.search(photos[len(answered) % len(photos)], k=K)
            answered.append(Answered((time.perf_counter() - start) * 1000, answer.took_ms))
            assert len(answer.results) == K
    return answered


def ask_together(url: str, photos: Sequence[bytes], seconds: float) -> list[list[Answered]]:
    """The answers of each of the clients that ask at the same time; raises what any of them was refused."""
    until_s = time.monotonic() + seconds
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask, url, photos, until_s=until_s) for _ in range(CLIENTS)]
        return [each.result() for each in clients]


def _print_latency(answered: Sequence[Answered]) -> None:
    whole = [one.ms for one in answered]
    print("| one client | p50 | p99 |\n| --- | --- | --- |")
    print(f"| photo to {K} articles | {_at(whole, 0.5):.1f} ms | {_at(whole, 0.99):.1f} ms |")
    for stage in STAGES[:-1]:
        times = [one.took_ms.get(stage, 0.0) for one in answered]
        print(f"| {stage} | {_at(times, 0.5):.1f} ms | {_at(times, 0.99):.1f} ms |")
    rest = [one.ms - sum(one.took_ms.values()) for one in answered]
    print(f"| {STAGES[-1]} | {_at(rest, 0.5):.1f} ms | {_at(rest, 0.99):.1f} ms |\n")


def _print_together(clients: Sequence[Sequence[Answered]], seconds: float) -> None:
    slow = [_at([one.ms for one in answered], 0.95) for answered in clients]
    count = sum(len(answered) for answered in clients)
    print(f"| {len(clients)} clients | |\n| --- | --- |")
    print(f"| photos a second | {count / seconds:.1f} |")
    print(f"| p95 of the median client | {statistics.median(slow):.0f} ms |")
    print(
        f"| p95 of the slowest client | {max(slow):.0f} ms, {max(slow) / statistics.median(slow):.2f} x the median's |"
    )
    print("| refused or failed | 0 |")


def _at(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _photo(path: Path) -> bytes:
    """A photo of the size that phones upload, from a sample."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").resize(PHOTO, Image.Resampling.BICUBIC).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def _package_of_this_checkout() -> Path:
    for path in sorted((ROOT / ".threadline" / "packages").glob("[!.]*/package.json")):
        package = read_package(path.parent)
        if package.kind == "matching" and package.segments:
            return path.parent
    raise ThreadlineError("no package that segments is here", "run `make demo`, or name one")


def _resident_mib(process: subprocess.Popen[bytes]) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
