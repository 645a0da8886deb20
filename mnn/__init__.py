"""Multiscale neural networks with the structure of H²-matrices.

Everything is loaded when it is asked for, so that ``import mnn`` costs nothing.
"""

from importlib import import_module

_HOME = {
    "network": "mnn.networks",
    "NetworkSpec": "mnn.spec",
    "count_parameters": "mnn.parameters",
    "load": "mnn.surrogate",
    "h2matrix": "mnn.h2matrix",
}
"""Public name -> module that holds it, or that it is."""

__all__ = ["NetworkSpec", "count_parameters", "h2matrix", "load", "network"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'mnn' has no attribute {name!r}")
    module = import_module(_HOME[name])
    value = module if _HOME[name] == f"mnn.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
