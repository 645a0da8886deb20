"""Ground states of the nonlinear Schrödinger equation with a background potential, (4.2) of the paper."""

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from solvers import nlse_fast, nlse_grid
from solvers.gradient_flow import gradient_flow
from solvers.problem import Attempt, Problem, Quantity
from solvers.spectral import squared_wavenumbers

COUNTS = {1: (40, 80, 160), 2: (40, 80), 3: (40,)}
"""Fourier functions an axis that the fast path tries, by dimension."""

GUESS = {1: None, 2: 20, 3: 20}
"""Fourier functions an axis of the coarse band for the first guess; in one dimension it would gain nothing."""


class NonlinearSchroedinger(Problem):
    """Ground state u of -Laplacian u + V u + beta u^3 = E u on the periodic unit cube, (4.2).

    Grid x_j = j / N, pseudo-spectral Laplacian, u normalised on the grid to mean(u^2) = 1, u > 0. For beta >= 0 the
    energy is convex in u^2, so that a positive solution is the ground state.

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis; one, two or three axes.
    beta : float
        Strength of the repulsion, at least 0.
    """

    name: ClassVar[str] = "nlse"
    title: ClassVar[str] = "Ground states of the nonlinear Schrödinger equation with random potential wells"
    equation: ClassVar[str] = "-Laplacian u + V u + beta u^3 = E u on [0, 1]^d, periodic, mean(u^2) = 1, u > 0"
    input: ClassVar[Quantity] = Quantity("potential", "V", "background potential")
    output: ClassVar[Quantity] = Quantity("ground_state", "u", "ground state, normalised to mean square 1")
    periodic: ClassVar[bool] = True
    lower: ClassVar[float] = 0.0
    length: ClassVar[float] = 1.0
    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    robust: ClassVar[str] = "gradient_flow"
    tolerance: ClassVar[float] = 5e-6

    def __init__(self, shape: tuple[int, ...], beta: float = 10.0):
        super().__init__(shape)
        if isinstance(beta, bool) or not isinstance(beta, (int, float, np.number)) or not 0 <= beta < math.inf:
            raise ValueError(f"beta: {beta!r} given, a finite number of at least 0 allowed")
        self.beta = float(beta)
        self.block_size = max(16, min(1024, 2**20 // math.prod(self.shape)))
        self.symbol = squared_wavenumbers(self.shape, self.length)
        self._spectral = nlse_grid.Spectral(self.symbol, self.shape)
        self._ladder = nlse_fast.Ladder(self.shape, COUNTS[len(self.shape)], GUESS[len(self.shape)])

    @property
    def parameters(self) -> dict:
        """Coefficients of the equation."""
        return {"beta": self.beta}

    @property
    def methods(self):
        """``"fast"`` and ``"gradient_flow"``."""
        return {"fast": self.fast, "gradient_flow": self.gradient_flow}

    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Relative residual of (4.2) in the l2 norm, plus the defect |mean(u^2) - 1|.

        The residual is taken relative to |Laplacian u| + |(V + beta u^2 - E) u| + (2 pi)^2 |u|, the last term the
        kinetic energy of the first harmonic; it does not change when a constant is added to V. E is the Rayleigh
        quotient of u. It is infinite where u is not positive, as in any excited state. Norms are taken in Fourier
        space.
        """
        field, values = (np.ascontiguousarray(part, dtype=np.float64) for part in (field, values))
        residual = np.empty(len(field))
        for rows in self._tiles(len(field), 2**15):
            self._spectral.fill(field[rows], values[rows], self.beta, residual[rows])
        return residual

    def fast(self, field: np.ndarray) -> Attempt:
        """Preconditioned conjugate gradients in as few Fourier modes as the sample needs; see `solvers.nlse_fast`."""
        return Attempt(*nlse_fast.solve(field, self.beta, self._ladder))

    def gradient_flow(self, field: np.ndarray) -> Attempt:
        """Normalised gradient flow by backward Euler, iterated until the residual is at rounding level."""
        values = np.empty_like(field)
        iterations = np.empty(len(field), dtype=np.int64)
        reliable = np.empty(len(field), dtype=bool)
        for rows in self._tiles(len(field), 2**19):
            values[rows], iterations[rows], reliable[rows] = gradient_flow(field[rows], self.beta, self.symbol)
        return Attempt(values, iterations, reliable)

    def _tiles(self, count: int, numbers: int) -> Iterator[slice]:
        """Slices of ``count`` samples, each of about so many numbers."""
        size = max(1, numbers // math.prod(self.shape))
        return (slice(start, start + size) for start in range(0, count, size))


def problem(shape: tuple[int, ...], **parameters) -> NonlinearSchroedinger:
    """Make the problem; see `NonlinearSchroedinger`."""
    unknown = sorted(set(parameters) - {"beta"})
    if unknown:
        raise ValueError(f"{unknown[0]}: not a parameter of nlse, beta allowed")
    return NonlinearSchroedinger(shape, **parameters)
