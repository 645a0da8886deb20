"""What every problem is: a map from a field on a grid to the solution of an equation, solved in batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Quantity:
    """A physical quantity on the grid: its variable name, the paper's symbol, a description and its units."""

    name: str
    symbol: str
    long_name: str
    units: str = "1"


@dataclass(frozen=True)
class Solution:
    """Solutions of a batch of samples.

    Attributes
    ----------
    values : (batch, *shape) float64
        The output field of the map.
    residual : (batch,) float64
        The equation's own relative residual, in float64.
    iterations : (batch,) int64
        Iterations taken by the method that produced the sample.
    fallback : (batch,) bool
        True where the fast path was out of its reach and the robust path solved the sample.
    """

    values: np.ndarray
    residual: np.ndarray
    iterations: np.ndarray
    fallback: np.ndarray


@dataclass(frozen=True)
class Attempt:
    """What one method returns for a batch: values, iterations, and whether it vouches for each sample.

    A method that knows more than field and values tell (an eigensolver has its orbitals) gives the residual, too.
    """

    values: np.ndarray
    iterations: np.ndarray
    reliable: np.ndarray
    residual: np.ndarray | None = None


class ConvergenceError(RuntimeError):
    """Samples that neither the chosen method nor the robust path could solve; ``indices`` are their rows."""

    def __init__(self, problem: str, indices: np.ndarray, residual: np.ndarray, tolerance: float, hint: str = ""):
        self.indices = indices
        worst = float(np.max(residual[indices]))
        super().__init__(
            f"{problem}: {len(indices)} sample(s) did not converge (rows {indices[:10].tolist()}): "
            f"relative residual up to {worst:.1e}, allowed {tolerance:.1e}{hint and '; '}{hint}"
        )


class Problem(ABC):
    """A parameterised equation on a uniform grid.

    A problem is configured once (grid, coefficients) and then solves any number of batches. Subclasses give the
    class attributes, their methods and a residual; checks of the input and the fallback from the fast to the
    robust path live here, once.

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis.
    """

    name: ClassVar[str]
    """Name in the configuration."""
    title: ClassVar[str]
    equation: ClassVar[str]
    """The equation in one line, written into every data set."""
    input: ClassVar[Quantity]
    output: ClassVar[Quantity]
    periodic: ClassVar[bool]
    lower: ClassVar[float]
    """Lower end of the domain along each axis."""
    length: ClassVar[float]
    """Length of the domain (the period, where periodic) along each axis."""
    dimensions: ClassVar[tuple[int, ...]]
    """Numbers of dimensions the problem can be posed in."""
    robust: ClassVar[str]
    """Name of the robust method, the one the fast path falls back to."""
    tolerance: ClassVar[float]
    """Largest relative residual of a converged sample."""
    hint: ClassVar[str] = ""
    """What to look for first when a sample does not converge; ends the message of the error."""
    agreement: float = 1e-5
    """Largest relative l2 difference between the fast and the robust solution of a sample that the checker allows."""
    samples_checked: int = 8
    """Samples of a file that the checker solves again by the robust method, unless told how many."""
    block_size: int
    """Samples that ``generate`` solves together. Part of the definition of a data set's bytes."""

    def __init__(self, shape: tuple[int, ...]):
        shape = tuple(shape)
        if len(shape) not in self.dimensions or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
            allowed = " or ".join(str(d) for d in self.dimensions)
            raise ValueError(f"shape: {shape} given, {self.name} takes {allowed} positive integers")
        self.shape = tuple(int(n) for n in shape)

    @property
    @abstractmethod
    def parameters(self) -> dict:
        """Coefficients of the equation, JSON-ready, defaults filled in."""

    @property
    def spec(self) -> dict:
        """Everything that defines the problem: ``solvers.problem(**spec)`` makes it again."""
        return {"name": self.name, "shape": list(self.shape), **self.parameters}

    @property
    @abstractmethod
    def methods(self) -> dict[str, Callable[[np.ndarray], Attempt]]:
        """Methods by name; ``"fast"`` is the default, ``self.robust`` the fallback."""

    @abstractmethod
    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Relative residual of the equation, (batch,), for field and values of shape (batch, *shape)."""

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Grid points along each axis: lower + j length / N where periodic, cell centres where not."""
        offset = 0.0 if self.periodic else 0.5
        return tuple(self.lower + self.length * (np.arange(n) + offset) / n for n in self.shape)

    def check_field(self, field: np.ndarray) -> np.ndarray:
        """Return ``field`` as contiguous float64 of shape (batch, *shape), or raise a one-line ValueError."""
        field = np.asarray(field)
        expected = "(batch, " + ", ".join(str(n) for n in self.shape) + ")"
        if field.dtype.kind not in "fiu":
            raise ValueError(f"field: dtype {field.dtype} given, real numbers expected")
        if field.ndim != len(self.shape) + 1 or field.shape[1:] != self.shape:
            raise ValueError(f"field: shape {field.shape} given, {expected} expected")
        if not np.isfinite(field).all():
            row = int(np.flatnonzero(~np.isfinite(field).reshape(len(field), -1).all(axis=1))[0])
            raise ValueError(f"field: NaN or infinity in sample {row}, finite values expected")
        return np.ascontiguousarray(field, dtype=np.float64)

    def solve(self, field: np.ndarray, method: str = "fast") -> Solution:
        """Solve the equation for every sample of a batch.

        Parameters
        ----------
        field : (batch, *shape) array of real numbers
            The input field, one sample a row.
        method : str
            ``"fast"`` (falls back to the robust method where it is out of its reach) or a name in ``methods``.

        Returns
        -------
        Solution

        Raises
        ------
        ValueError
            If the field or the method is not allowed; the message is one line and names the argument.
        ConvergenceError
            If a sample's residual stays above ``tolerance``.
        """
        if method not in self.methods:
            raise ValueError(f"method: {method!r} given, {' or '.join(map(repr, self.methods))} allowed")
        field = self.check_field(field)
        attempt = self.methods[method](field)
        values, iterations = attempt.values, attempt.iterations
        residual = self._residual(field, attempt)
        failed = ~(attempt.reliable & (residual <= self.tolerance))
        fallback = np.zeros(len(field), dtype=bool)
        if failed.any() and method != self.robust:
            fallback = failed
            again = self.methods[self.robust](field[failed])
            values[failed], iterations[failed] = again.values, again.iterations
            residual[failed] = self._residual(field[failed], again)
            failed = fallback.copy()
            failed[fallback] = ~(again.reliable & (residual[fallback] <= self.tolerance))
        if failed.any():
            raise ConvergenceError(self.name, np.flatnonzero(failed), residual, self.tolerance, self.hint)
        return Solution(values, residual, iterations, fallback)

    def _residual(self, field: np.ndarray, attempt: Attempt) -> np.ndarray:
        return self.residual(field, attempt.values) if attempt.residual is None else attempt.residual
