"""The demo, run once from a copy of the checkout; what the pipeline tests look at and go on from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipeline.running import BIN, Demo, Ran, run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Demo:
    """`make demo` in a copy of the files that git knows, with the environment the tests run in.

    The processes that share the tests share it as well: the first one makes it, the others wait.
    """
    return Demo(*_made(tmp_path_factory, checkout, "demo"))


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Demo:
    """The same, in another place, as it was when it had just been made."""
    return Demo(*_made(tmp_path_factory, checkout, "copied"))


def _made(temporary: pytest.TempPathFactory, checkout: Path, name: str) -> tuple[Path, Ran]:
    folder = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    root, said = folder / "demo", folder / "demo.json"
    with FileLock(folder / "demo.lock"):
        if not said.exists():
            made = _make(root, checkout)
            shutil.copytree(root, folder / "copied", symlinks=True)
            said.write_text(json.dumps(vars(made)))
    made = Ran(**json.loads(said.read_text()))
    assert made.code == 0, made.out + made.err
    return folder / name, made


def _make(root: Path, checkout: Path) -> Ran:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=checkout, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (checkout / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, root / name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return run(["make", "-o", f"{BIN.parent}/.installed", "demo", f"VENV={BIN.parent}"], root, 2400)
