"""Releases change while clients search, over real HTTP with a real process: nothing fails, mixes or piles up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from serving.answers import SearchAnswer
from serving.client import SearchClient
from tests.serving.fixtures import until
from tests.serving.shop import Shop

ROOT = Path(__file__).parents[2]
CLIENTS = 8
SWAPS = 20
SETTLED = 3
"""The swap after which memory must not grow any more."""


@contextmanager
def service(shop: Shop, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of `threadline-serve` over `shop`, ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"THREADLINE_HOME": str(shop.settings.home), "THREADLINE_DATA": str(shop.settings.data)}
    settings |= {"THREADLINE_PORT": str(port), "THREADLINE_POLL_S": "0.05"}
    with (shop.root / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"], cwd=ROOT, env={**os.environ, **settings, **environment}, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            with SearchClient(url) as client:
                until(lambda: client.is_ready() or process.poll() is not None, limit_s=60)
            assert process.poll() is None, (shop.root / "log").read_text()
            yield url, process
        finally:
            process.terminate()
            process.wait(40)


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def settled_mib(process: subprocess.Popen[bytes]) -> float:
    """The lowest resident memory within 1.5 s: the release before is there until its last request has ended."""
    samples = []
    for _ in range(6):
        time.sleep(0.25)
        samples.append(resident_mib(process))
    return min(samples)


def prepared(shop: Shop) -> int:
    """How many releases were made ready for several searches at once; what that takes would blur the memory."""
    return (shop.root / "log").read_text().count("is prepared for several searches at once")


def search_until(stop: threading.Event, url: str, photo: bytes) -> list[SearchAnswer]:
    answers = []
    with SearchClient(url) as client:
        while not stop.is_set():
            answers.append(client.search(photo, k=12))
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("threads", [{}, {"THREADLINE_THREADS": "1"}], ids=["threads shared out", "one thread"])
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_twenty_swaps_under_eight_clients(shop: Shop, threads: dict[str, str]) -> None:
    ids = tuple(shop.pictures)
    sides = {1: frozenset(ids[:6]), 2: frozenset(ids[6:])}  # nothing in common, so that a mix would show
    releases = [shop.release(shop.package(seed), tuple(sorted(side))) for seed, side in sides.items()]
    articles = {each.collection: side for each, side in zip(releases, sides.values(), strict=True)}
    stop = threading.Event()
    with service(shop, **threads) as (url, process), SearchClient(url) as watcher, ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(search_until, stop, url, shop.photo(ids[number])) for number in range(CLIENTS)]
        memory = []
        try:
            for swap in range(SWAPS):
                wanted = releases[swap % 2]
                shop.registry.publish(wanted.version, wanted.collection)
                until(lambda wanted=wanted: watcher.release().version == wanted.version)
                until(lambda swap=swap: prepared(shop) == swap + 2)  # the release of the start was the first
                memory.append(settled_mib(process))
        finally:
            stop.set()
        answers = [answer for each in clients for answer in each.result()]
    versions = {each.collection: each.version for each in releases}
    for answer in answers:
        assert answer.release == versions[answer.collection]
        assert {one.article_id for one in answer.results} == articles[answer.collection]
    counted = Counter(answer.release for answer in answers)
    print(f"{len(answers)} answers, by release {dict(counted)}, none failed, none mixed")
    print("resident MiB after each swap: " + " ".join(f"{each:.0f}" for each in memory))
    assert len(counted) == 2 and min(counted.values()) >= SWAPS
    assert memory[-1] < 1.05 * memory[SETTLED - 1]


@pytest.mark.slow
def test_what_was_begun_is_finished_when_the_service_is_stopped(shop: Shop) -> None:
    shop.release(shop.package(1))
    photo = shop.photo("a3")
    body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    head = (
        "POST /v1/search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with service(shop) as (url, process):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body[:200])
            time.sleep(0.3)
            process.terminate()
            time.sleep(0.5)
            assert process.poll() is None
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))
            connection.sendall(body[200:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"article_id":"a3"' in answer
        assert process.wait(20) in (0, -15)


@pytest.mark.slow
def test_a_signal_lets_it_look_at_the_registry_at_once(shop: Shop) -> None:
    import signal

    first = shop.release(shop.package(1))
    with service(shop, THREADLINE_POLL_S="600") as (url, process), SearchClient(url) as client:
        second = shop.release(shop.package(2))
        time.sleep(0.5)
        assert client.release().version == first.version
        process.send_signal(signal.SIGHUP)
        until(lambda: client.release().version == second.version)


@pytest.mark.slow
def test_start_to_ready(shop: Shop) -> None:
    """In CPU time: the start is work of one thread, and the clock counts what runs beside the tests."""
    shop.release(shop.package(1, reranks=True))
    start = time.monotonic()
    with service(shop) as (_, process):
        took_s = time.monotonic() - start
        used = psutil.Process(process.pid).cpu_times()
    print(f"start to ready: {took_s:.1f} s, of which {used.user + used.system:.1f} s CPU time")
    assert used.user + used.system < 5.0
