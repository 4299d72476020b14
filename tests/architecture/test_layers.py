"""Imports point one way, sources stay small, and the project speaks of itself only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("contracts", "training", "serving", "orchestration")


def sources(checkout: Path) -> list[Path]:
    return [path for package in PACKAGES for path in sorted((checkout / package).rglob("*.py"))]


def test_imports_keep_to_the_layers(checkout: Path) -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"]
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_ruff_finds_nothing(checkout: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=checkout, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
def test_types_hold(checkout: Path) -> None:
    ran = subprocess.run([sys.executable, "-m", "mypy"], cwd=checkout, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_functions_are_short_enough_to_read(checkout: Path) -> None:
    long = [
        f"{path.relative_to(checkout)}:{node.lineno} {node.name}"
        for path in sources(checkout)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


def test_no_pickle_is_loaded(checkout: Path) -> None:
    forbidden = ("import pickle", "pickle.load", "weights_only=False", "joblib", "allow_pickle=True")
    found = [
        f"{path.relative_to(checkout)}: {word}"
        for path in sources(checkout)
        for word in forbidden
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_only_settings_and_resources_read_the_environment(checkout: Path) -> None:
    readers = {
        str(path.relative_to(checkout))
        for path in sources(checkout)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    writers = {"contracts/quiet.py", "orchestration/cli/run.py"}  # set or hand on, without reading a setting
    assert readers - writers <= {"orchestration/resources.py"}
