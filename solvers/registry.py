"""Problems by name. Modules are loaded when asked for, so that a job depends on its own problem alone.

A problem of one's own needs no change here: an installed package names its module as an entry point of the group
``mnn_h2.problems``, and a module on Python's path is found by its dotted name. See docs/own_problem.md.
"""

import re
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType

from solvers.problem import Problem

GROUP = "mnn_h2.problems"
"""Entry points of this group are problems: name -> module."""

PROBLEMS = {
    "nlse": "solvers.nlse",
    "rte": "solvers.radiative_transfer",
    "kohn_sham": "solvers.kohn_sham",
}
"""Problem name -> module. Each module has a function ``problem(shape, **parameters)``."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""Name of a module inside a package, ``examples.screened_poisson``."""


def module_of(name: str) -> str:
    """Return the name of a problem's module, without loading it.

    Raises
    ------
    ValueError
        If no problem has this name.
    """
    if name in PROBLEMS:
        return PROBLEMS[name]
    if isinstance(name, str) and DOTTED.fullmatch(name):
        return name
    installed = {entry.name: entry.module for entry in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(map(repr, [*PROBLEMS, *sorted(installed)]))
        raise ValueError(f"name: {name!r} given, {known} or the dotted name of a module allowed")
    return installed[name]


def problem(name: str, shape: tuple[int, ...], **parameters) -> Problem:
    """Make a problem.

    Parameters
    ----------
    name : str
        "nlse", "rte" or "kohn_sham"; the name of an entry point of the group ``mnn_h2.problems``; or the dotted name
        of a module that has a function ``problem(shape, **parameters)``.
    shape : tuple of int
        Grid points along each axis; its length is the dimension.
    **parameters
        Coefficients of the equation, see the problem's class.

    Raises
    ------
    ValueError
        If the name, the shape or a parameter is not allowed, or the module cannot be loaded.
    """
    module = _load(name)
    made = module.problem(shape=shape, **parameters)
    # the specification in a data set holds the problem's own name: it has to lead back here
    if made.name != name and module_of(made.name) != module.__name__:
        raise ValueError(f"name: {name!r} given, its problem calls itself {made.name!r}, which is another module")
    return made


def _load(name: str) -> ModuleType:
    path = module_of(name)
    try:
        module = import_module(path)
    except (ImportError, SyntaxError) as error:
        raise ValueError(f"name: {name!r} given, its module {path} cannot be loaded ({error})") from None
    if not callable(getattr(module, "problem", None)):
        raise ValueError(f"name: {name!r} given, module {path} has no function problem(shape, **parameters)")
    return module
