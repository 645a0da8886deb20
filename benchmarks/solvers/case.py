"""One benchmark case: a problem, its random draws, and the solvers it is measured against."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers import Problem


@dataclass(frozen=True)
class Case:
    """A problem with everything needed to judge its fast path.

    Each module of this package has a function ``cases()`` that returns a list of these. Errors are relative l2,
    |values - reference| / |reference| per sample; a case with a ``signal`` is also judged relative to
    |reference - u_0|.

    Attributes
    ----------
    name : str
        Name on the command line and in the table.
    problem : Problem
        The problem; its default method is the fast path.
    fields : callable
        ``fields(count, seed)`` draws (count, *shape) random fields of the printed distribution.
    straightforward : callable
        ``straightforward(field)`` solves (batch, *shape) fields one sample at a time, as one would write it first.
    reference : callable
        ``reference(field)`` solves (batch, *shape) fields to at least ten times the accuracy of the floors.
    hardest : (count, *shape) array
        The hardest fields known of the printed distribution.
    samples_fast, samples_straightforward, samples_reference : int
        How many draws each of the three solves (the straightforward one is slow, the fast one needs whole blocks).
    floor_error : float
        Largest mean error of the fast path over the draws.
    floor_hardest : float
        Largest error over the hardest fields, relative to the signal in a case that has one.
    floor_ratio : float
        Smallest ratio of samples per second, fast over straightforward.
    signal : callable, optional
        ``signal()`` is u_0, the part of the solution common to all samples, of shape ``shape``.
    floor_signal : float, optional
        Largest mean error of the fast path relative to the signal.
    """

    name: str
    problem: Problem
    fields: Callable[[int, int], np.ndarray]
    straightforward: Callable[[np.ndarray], np.ndarray]
    reference: Callable[[np.ndarray], np.ndarray]
    hardest: np.ndarray
    samples_fast: int
    samples_straightforward: int
    samples_reference: int
    floor_error: float
    floor_hardest: float
    floor_ratio: float
    signal: Callable[[], np.ndarray] | None = None
    floor_signal: float | None = None
