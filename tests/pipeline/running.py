"""Running the project's commands as a person would, apart from the caller's workspaces and servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
BRING_IN_DATA = "Bring in data"
"""The section of the README that makes a workspace of one's own pictures."""


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Demo:
    """A copy of the checkout in which `make demo` has run."""

    root: Path
    first: Ran

    def run(self, *command: str, within: Path | None = None, timeout_s: float = 600) -> Ran:
        """Run a command of the project in the copy."""
        return run(command, within or self.root, timeout_s)


def environment(root: Path) -> Mapping[str, str]:
    """The tests' own tools first, no workspace or servers of the caller, and DVC's state beside the copy.

    How many threads there are and how they wait stays the caller's: `make test` has one for each process.
    """
    own = ("THREADLINE_", "DAGSTER_HOME", "QDRANT_", "MLFLOW_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_SITE_CACHE_DIR": str(root / ".dvc" / "site")}


def run(command: Sequence[str], root: Path, timeout_s: float) -> Ran:
    """Run `command` in `root` and keep what it printed."""
    done = subprocess.run(
        command, cwd=root, env=environment(root), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def commands(readme: Path, *headings: str) -> list[str]:
    """The lines of the shell blocks in the README's sections of those `headings`; without any, of all."""
    sections = re.split(r"^## ", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
    chosen = [section for section in sections if not headings or section.partition("\n")[0] in headings]
    blocks = [block for section in chosen for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
