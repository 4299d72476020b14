"""The main job on the bundled sample, and every command of the README."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.batches import read_catalogue_batch, read_street_batch
from contracts.images import read
from orchestration.candidates import MATCHING
from orchestration.cli.demo import FLOOR
from tests.pipeline.running import BRING_IN_DATA, Demo, commands, environment

pytestmark = pytest.mark.slow

TRAINED = set(MATCHING)
RUN_ELSEWHERE = {"make demo", "make test", "threadline up"}
"""The first made the workspace, the second is running, the third has a test of its own."""

STAYS_UP = {"threadline serve"}

HERE = ("Start", "Search", "Watch the graph")
"""The README's sections whose commands work on the demo; those of the other one are run by test_without_pairs."""


def test_the_demo_trains_releases_and_searches(demo: Demo) -> None:
    for name in TRAINED | {"pretrained"}:
        assert name in demo.first.out
    assert "worn" in demo.first.out
    for picture in ("demo.png", "accuracy.png"):
        assert (demo.root / ".threadline" / "report" / picture).stat().st_size > 10_000


def test_trained_packages_find_garments_that_no_training_saw_and_the_untrained_one_does_not(demo: Demo) -> None:
    evaluations = json.loads((demo.root / ".threadline" / "derived" / "retrieval_report.json").read_text())
    accuracy = {one["method"]: one["scores"]["test"]["acc"]["1"] for one in evaluations}
    assert len({one["scores"]["test"]["gallery"] for one in evaluations}) == 1
    assert accuracy["pretrained"] <= 0.15
    assert all(accuracy[name] >= FLOOR for name in TRAINED), accuracy


def colours(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A unit histogram (512,) of `pixels` (N, 3) over 8 x 8 x 8 cells of RGB, square-rooted (Hellinger)."""
    counts = np.bincount((pixels // 32).astype(np.int64) @ (64, 8, 1), minlength=512)
    return np.sqrt(counts / max(1, counts.sum())).astype(np.float32)


def test_a_colour_histogram_finds_little_in_the_sample(demo: Demo) -> None:
    (catalogue,), (street,) = ((demo.root / "data" / kind).iterdir() for kind in ("catalogue", "street"))
    articles, batch = read_catalogue_batch(catalogue).articles, read_street_batch(street)
    packshots = [read(catalogue / article.images[0]) for article in articles]
    gallery = np.stack([colours(picture[picture.min(axis=2) < 225]) for picture in packshots])
    queries = np.stack([colours(read(street / photo.image).reshape(-1, 3)) for photo in batch.photos])
    nearest = (queries @ gallery.T).argmax(axis=1)
    worn = {(pair.photo_id, pair.article_id) for pair in batch.pairs}
    found = [
        (photo.photo_id, articles[row].article_id) in worn for photo, row in zip(batch.photos, nearest, strict=True)
    ]
    assert len(found) >= 200
    assert 0.01 < np.mean(found) <= 0.30


def test_what_serves_finds_garments_of_a_wardrobe_of_another_seed(demo: Demo) -> None:
    """Photos and garments are rendered for this test; every one of them is new to every model."""
    measured = demo.run("threadline", "evaluate", "champion", "--source", "sample", "2026", "--limit", "300", "--json")
    assert measured.code == 0, measured.err
    score = json.loads(measured.out)["score"]
    assert score["gallery"] == 300
    assert score["acc"]["1"] >= FLOOR


def test_a_second_demo_computes_nothing_and_says_so(demo: Demo) -> None:
    started = time.monotonic()
    again = demo.run("threadline", "demo")
    assert again.code == 0, again.err
    assert "nothing to do" in again.out
    assert time.monotonic() - started < 90


def test_status_and_releases_tell_what_serves(demo: Demo) -> None:
    status = json.loads(demo.run("threadline", "status", "--json").out)
    assert status["release"]["method"] in TRAINED
    assert status["out_of_date"] == status["waiting"] == status["failed"] == []
    assert status["data_version"] == status["release"]["data_version"]
    (release,) = [one for one in json.loads(demo.run("threadline", "releases", "--json").out) if one["serves"]]
    assert release["version"] == status["release"]["version"]


def test_the_readme_opens_with_a_picture_that_is_there(checkout: Path) -> None:
    (picture,) = re.findall(r"!\[.+?\]\((.+?)\)", (checkout / "README.md").read_text(encoding="utf-8"))
    assert (checkout / picture).stat().st_size > 10_000


def test_the_readme_s_commands_work(demo: Demo, checkout: Path) -> None:
    tried = commands(checkout / "README.md", *HERE)
    assert set(tried) >= RUN_ELSEWHERE | STAYS_UP
    for command in tried:
        if command in RUN_ELSEWHERE or command.startswith("source "):
            continue
        if command in STAYS_UP:
            stays_up(command, demo.root, demo.root)
        else:
            done = demo.run(*command.split())
            assert done.code == 0, f"{command}\n{done.out}{done.err}"


def test_every_command_of_the_readme_is_run_by_a_test(checkout: Path) -> None:
    readme = checkout / "README.md"
    assert sorted(commands(readme)) == sorted([*commands(readme, *HERE), *commands(readme, BRING_IN_DATA)])


def stays_up(command: str, place: Path, root: Path) -> None:
    """The command is still running after some seconds, and ends without an error when asked to."""
    process = subprocess.Popen(command.split(), cwd=place, env=environment(root), stdout=subprocess.DEVNULL)
    time.sleep(8)
    assert process.poll() is None, f"{command} ended with {process.returncode}"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, -signal.SIGINT), command
