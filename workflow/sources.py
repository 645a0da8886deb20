"""Fingerprints of the code a job runs, so that it runs again when, and only when, that code changes.

The modules are found from the import graph. Comments, docstrings and layout do not count: two versions of a module
with the same syntax tree have the same fingerprint.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("solvers", "mnn", "workflow")


def digest(*modules: str) -> str:
    """Fingerprint of modules and of everything of this project that they import, directly or not."""
    seen = hashlib.sha256()
    for module in sorted(set().union(*(closure(module) for module in modules))):
        seen.update(f"{module} {_tree_digest(module)}\n".encode())
    return seen.hexdigest()[:16]


def closure(module: str) -> set[str]:
    """The module and all modules of this project that it imports, directly or not."""
    found, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        waiting += imports(current)
    return found


@cache
def imports(module: str) -> tuple[str, ...]:
    """Modules of this project that a module's own text imports, its parent packages included."""
    names = {module.rpartition(".")[0]}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(sorted(name for name in names if name.split(".")[0] in PACKAGES and path(name)))


def path(module: str) -> Path | None:
    """File of a module, None if it is not a module of this project."""
    base = ROOT.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _tree(module: str) -> ast.Module:
    return ast.parse(path(module).read_bytes())


@cache
def _tree_digest(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [child for child in node.body if not _is_text(child)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
