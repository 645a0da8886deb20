"""Problems by name. Modules are loaded when asked for, so that a job depends on its own problem alone."""

from importlib import import_module

from solvers.problem import Problem

PROBLEMS = {
    "nlse": "solvers.nlse",
    "rte": "solvers.radiative_transfer",
    "kohn_sham": "solvers.kohn_sham",
}
"""Problem name -> module. Each module has a function ``problem(shape, **parameters)``."""


def problem(name: str, shape: tuple[int, ...], **parameters) -> Problem:
    """Make a problem.

    Parameters
    ----------
    name : {"nlse", "rte", "kohn_sham"}
    shape : tuple of int
        Grid points along each axis; its length is the dimension.
    **parameters
        Coefficients of the equation, see the problem's class.

    Raises
    ------
    ValueError
        If the name, the shape or a parameter is not allowed.
    """
    if name not in PROBLEMS:
        raise ValueError(f"name: {name!r} given, {', '.join(map(repr, PROBLEMS))} allowed")
    return import_module(PROBLEMS[name]).problem(shape=shape, **parameters)
