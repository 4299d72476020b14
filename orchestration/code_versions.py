"""Code versions: digests of the code that shapes a result, blind to docstrings, comments and layout."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

from contracts.files import digest_of

_ROOT = Path(__file__).resolve().parent.parent


def code_version(modules: tuple[str, ...], libraries: tuple[str, ...] = ()) -> str:
    """The digest of the syntax trees of `modules` (dotted names) and of the versions of `libraries`.

    The modules are read, not imported, so that naming a training module costs no import of torch.
    """
    trees = {name: _tree(_ROOT.joinpath(*name.split(".")).with_suffix(".py")) for name in modules}
    return digest_of([trees, {library: version(library) for library in libraries}])[:16]


def _tree(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
