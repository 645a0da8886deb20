"""Fingerprints of the code a job runs, so that it runs again when, and only when, that code changes.

The modules are found from the import graph: those of this project and, where a problem comes from a package of its
own, those of that package. Comments, docstrings and layout do not count: two versions of a module with the same
syntax tree have the same fingerprint.
"""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("solvers", "mnn", "workflow", "benchmarks")


def digest(*modules: str) -> str:
    """Fingerprint of modules and of everything they import from this project or their own package, directly or not."""
    seen = hashlib.sha256()
    for module in sorted(set().union(*(closure(module) for module in modules))):
        seen.update(f"{module} {_tree_digest(module)}\n".encode())
    return seen.hexdigest()[:16]


def closure(module: str) -> set[str]:
    """The module and all modules of this project or its own package that it imports, directly or not."""
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
    """Modules of this project or its own package that a module's text imports, its parent packages included."""
    names = {module.rpartition(".")[0]}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, module)
            names.add(source)
            names.update(f"{source}.{alias.name}" for alias in node.names)
    followed = {*PACKAGES, module.split(".")[0]}
    return tuple(sorted(name for name in names if name.split(".")[0] in followed and path(name)))


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """Name of the module that a ``from ... import`` names, seen from the module it stands in."""
    if node.level == 0:
        return node.module
    inside = module.split(".") if path(module).name == "__init__.py" else module.split(".")[:-1]
    above = inside[: len(inside) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def path(module: str) -> Path | None:
    """File of a module, None if there is none or it has no source."""
    top = module.split(".")[0]
    base = _folder(top).joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _folder(top: str) -> Path:
    """Folder that holds a top-level package or module; nothing is loaded."""
    if top in PACKAGES or not (spec := find_spec(top)):
        return ROOT
    return Path([*(spec.submodule_search_locations or []), spec.origin][0]).parent


@cache
def _tree(module: str) -> ast.Module:
    """Syntax tree of a module without its docstrings."""
    tree = ast.parse(path(module).read_bytes())
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [child for child in node.body if not _is_text(child)]
    return tree


@cache
def _tree_digest(module: str) -> str:
    return hashlib.sha256(ast.dump(_tree(module)).encode()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
