"""Every command of the README runs, in its order, in the workspace it is written for."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.pipeline.running import Demo, environment

pytestmark = pytest.mark.slow

RUN_ELSEWHERE = {"make demo", "make test"}  # the first made the workspace, the second is running
STAYS_UP = {"threadline serve", "threadline up"}


def commands(readme: Path) -> list[str]:
    """The lines of the README's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_the_readme_opens_with_a_picture_that_is_there(checkout: Path) -> None:
    (picture,) = re.findall(r"!\[.+?\]\((.+?)\)", (checkout / "README.md").read_text(encoding="utf-8"))
    assert (checkout / picture).stat().st_size > 10_000


def test_every_command_works(demo: Demo, checkout: Path) -> None:
    catalogue = demo.root / "catalogue"
    catalogue.mkdir()
    pictures = sorted((demo.root / "data" / "catalogue").glob("*/images/*"))[:4]
    for picture in pictures:
        shutil.copy(picture, catalogue)
    lines = "".join(f"{picture.name},top\n" for picture in pictures)
    (catalogue / "articles.csv").write_text(f"image,category\n{lines}")
    place = demo.root
    tried = commands(checkout / "README.md")
    assert set(tried) >= RUN_ELSEWHERE | STAYS_UP
    for command in tried:
        if command in RUN_ELSEWHERE or command.startswith("source "):
            continue
        if command.startswith("cd "):
            place = place / command.removeprefix("cd ")
        elif command in STAYS_UP:
            stays_up(command, place, demo.root)
        else:
            done = demo.run(*command.split(), within=place)
            assert done.code == 0, f"{command}\n{done.out}{done.err}"


def stays_up(command: str, place: Path, root: Path) -> None:
    """The command is still running after some seconds, and ends without an error when asked to."""
    process = subprocess.Popen(command.split(), cwd=place, env=environment(root), stdout=subprocess.DEVNULL)
    time.sleep(8)
    assert process.poll() is None, f"{command} ended with {process.returncode}"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, -signal.SIGINT), command
