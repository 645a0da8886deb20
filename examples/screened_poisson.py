"""A problem that the paper does not have: the screened Poisson equation with variable screening."""

import math
from typing import ClassVar

import numpy as np

from solvers.problem import Attempt, Problem, Quantity
from solvers.spectral import apply_symbol, squared_wavenumbers


class ScreenedPoisson(Problem):
    """Potential u of a uniform charge: -Laplacian u + (k^2 + a(x)) u = 1 on the periodic unit cube, a > -k^2.

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis; one, two or three axes.
    screening : float
        k, the inverse length over which a charge is screened; positive.
    """

    name: ClassVar[str] = "examples.screened_poisson"
    title: ClassVar[str] = "Screened Poisson equation with random screening"
    equation: ClassVar[str] = "-Laplacian u + (k^2 + a) u = 1 on [0, 1]^d, periodic"
    input: ClassVar[Quantity] = Quantity("screening", "a", "screening on top of k^2")
    output: ClassVar[Quantity] = Quantity("potential", "u", "electrostatic potential")
    periodic: ClassVar[bool] = True
    lower: ClassVar[float] = 0.0
    length: ClassVar[float] = 1.0
    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    robust: ClassVar[str] = "dense"
    tolerance: ClassVar[float] = 1e-8
    block_size: int = 256

    def __init__(self, shape: tuple[int, ...], screening: float = 3.0):
        super().__init__(shape)
        if not isinstance(screening, (int, float)) or not 0 < screening < math.inf:
            raise ValueError(f"screening: {screening!r} given, a positive number allowed")
        self.screening, self.axes = float(screening), tuple(range(1, len(self.shape) + 1))
        self.symbol = squared_wavenumbers(self.shape, self.length) + self.screening**2

    @property
    def parameters(self) -> dict:
        """Coefficients of the equation."""
        return {"screening": self.screening}

    @property
    def methods(self):
        """``"fast"`` and ``"dense"``."""
        return {"fast": self.iterate, "dense": self.dense}

    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Residual of the equation in the l2 norm, relative to its right-hand side."""
        return np.sqrt(((apply_symbol(self.symbol, values) + field * values - 1) ** 2).mean(self.axes))

    def iterate(self, field: np.ndarray) -> Attempt:
        """Iterate (-Laplacian + k^2 + c) u = 1 + (c - a) u, c halfway between the extremes of a: a contraction."""
        low, high = field.min(self.axes, keepdims=True), field.max(self.axes, keepdims=True)
        middle = (low + high) / 2
        rate = (high - middle) / (self.screening**2 + middle)  # the residual falls by this factor or more a step
        needed = np.ceil(np.log(self.tolerance / 10) / np.log(np.clip(rate, 1e-9, 0.95))).astype(np.int64)
        u, inverse = np.zeros_like(field), 1 / (self.symbol + middle)
        for _ in range(needed.max()):
            u = apply_symbol(inverse, 1 + (middle - field) * u)
        return Attempt(u, needed.ravel(), reliable=((rate >= 0) & (rate < 0.95)).ravel())

    def dense(self, field: np.ndarray) -> Attempt:
        """Solve with the whole matrix, sample after sample."""
        size, n = math.prod(self.shape), len(field)
        matrix = apply_symbol(self.symbol, np.eye(size).reshape(size, *self.shape)).reshape(size, size)
        u = [np.linalg.solve(matrix + np.diag(a), np.ones(size)) for a in field.reshape(n, size)]
        return Attempt(np.reshape(u, field.shape), np.ones(n, dtype=np.int64), reliable=np.ones(n, dtype=bool))


def problem(shape: tuple[int, ...], **parameters) -> ScreenedPoisson:
    """Make the problem; the workflow calls this."""
    return ScreenedPoisson(shape, **parameters)
