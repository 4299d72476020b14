"""What `make check` cannot see: sources stay small and safe, and the project speaks of itself only."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGES = ("contracts", "training", "serving", "orchestration")


def sources(checkout: Path) -> list[Path]:
    return [path for package in PACKAGES for path in sorted((checkout / package).rglob("*.py"))]


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
    # They set or hand on, without reading a setting.
    writers = {"contracts/quiet.py", "orchestration/cli/run.py", "serving/registry.py"}
    assert readers - writers <= {"orchestration/resources.py"}
