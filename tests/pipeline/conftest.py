"""The demo, run once from a copy of the checkout; what the pipeline tests look at and go on from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.running import BIN, Demo, run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Demo:
    """`make demo` in a copy of the files that git knows, with the environment the tests run in."""
    root = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=checkout, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (checkout / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, root / name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    installed = f"{BIN.parent}/.installed"
    made = run(["make", "-o", installed, "demo", f"VENV={BIN.parent}"], root, 2400)
    assert made.code == 0, made.out + made.err
    return Demo(root, made)
