"""Code versions: digests of the code that shapes a result, blind to docstrings, comments and layout.

Any other edit counts as a change of behaviour, unless `harmless.toml` declares it harmless: a reviewed entry says that
a module with one digest behaves as it did with another. The code version is then that of the module before the edit.
`git show HEAD:training/losses.py | python -m orchestration.code_versions training.losses` prints the entry for an edit
that is not committed yet.
"""

from __future__ import annotations

import ast
import functools
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import ThreadlineError
from contracts.files import digest_of, sha256_of_bytes

ROOT = Path(__file__).resolve().parent.parent
HARMLESS = Path(__file__).with_name("harmless.toml")

_DIGEST = r"[0-9a-f]{16}"


class HarmlessChange(BaseModel):
    """An edit of `module` (a dotted name) that changes no result: its digests before and after, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str
    before: str = Field(pattern=f"^{_DIGEST}$")
    after: str = Field(pattern=f"^{_DIGEST}$")
    reason: str = Field(min_length=10)


def code_version(modules: tuple[str, ...], libraries: tuple[str, ...] = ()) -> str:
    """The digest of what `modules` (dotted names) do and of the versions of `libraries`.

    The modules are read, not imported, so that naming a training module costs no import of torch. Raises
    ThreadlineError when `harmless.toml` is not what it should be.
    """
    declared = {(change.module, change.after): change.before for change in harmless_changes()}
    behaviours = {name: _first(name, module_digest(source_of(name)), declared) for name in modules}
    return digest_of([behaviours, {library: version(library) for library in libraries}])[:16]


@functools.cache
def module_digest(source: str) -> str:
    """The digest of the syntax tree of a module's `source`, 16 hexadecimal digits.

    Several assets name the same modules, and every process that loads the graph asks for all of them.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
    return sha256_of_bytes(ast.dump(tree).encode())[:16]


def source_of(module: str) -> str:
    """The source of a module of this project, by its dotted name."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")


def harmless_changes() -> list[HarmlessChange]:
    """The entries of `harmless.toml`. Raises ThreadlineError naming the file and the entry."""
    try:
        return list(_declared(HARMLESS.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ThreadlineError(f"{HARMLESS}: {error}", "correct that entry, or remove it") from error


@functools.cache
def _declared(text: str) -> tuple[HarmlessChange, ...]:
    return tuple(HarmlessChange.model_validate(entry) for entry in tomllib.loads(text).get("change", []))


def _first(module: str, digest: str, declared: dict[tuple[str, str], str]) -> str:
    """The earliest digest that behaves as `digest` does. Raises ThreadlineError when the entries lead in a circle."""
    seen = [digest]
    while (before := declared.get((module, seen[-1]))) is not None:
        if before in seen:
            raise ThreadlineError(
                f"{HARMLESS}: the entries of {module} lead in a circle",
                "remove the one that takes an edit back: the code version goes back by itself",
            )
        seen.append(before)
    return seen[-1]


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _print_entry(module: str) -> None:
    """Print the entry that declares the edit since the source on standard input harmless."""
    before, after = module_digest(sys.stdin.read()), module_digest(source_of(module))
    if before == after:
        print(f"# {module} has the same digest before and after: nothing is to be declared")
        return
    print(f'[[change]]\nmodule = "{module}"\nbefore = "{before}"\nafter = "{after}"\nreason = ""')


if __name__ == "__main__":
    _print_entry(sys.argv[1])
