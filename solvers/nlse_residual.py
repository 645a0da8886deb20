"""Relative residual of (4.2): from u alone, in Fourier space, and from u and its Laplacian, on the grid.

The residual is taken relative to |Laplacian u| + |(V + beta u^2 - E) u| + (2 pi)^2 |u|, the last term the kinetic
energy of the first harmonic, and the defect |mean(u^2) - 1| is added; E is the Rayleigh quotient of u. It is infinite
where u is not positive.
"""

import math

import numba
import numpy as np
import scipy.fft

NEGATIVE = 0.01
"""Part of its maximum by which u may dip below 0: the ground state of a rough V rings on the grid."""

_compile = numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


class Spectral:
    """The residual of u by fast Fourier transforms, its norms taken in Fourier space.

    Parameters
    ----------
    symbol : (*half spectrum) float64
        -Laplacian, as `solvers.spectral.squared_wavenumbers` lays it out.
    shape : tuple of int
    """

    def __init__(self, symbol: np.ndarray, shape: tuple[int, ...]):
        weight = np.full(symbol.shape, 2.0)
        weight[..., 0] = 1.0
        if shape[-1] % 2 == 0:
            weight[..., -1] = 1.0
        # The half spectrum is flattened and seen as real numbers; a mode counts as often as it stands in the whole one.
        self._symbol, self._weight = np.repeat(symbol.ravel(), 2), np.repeat(weight.ravel(), 2)

    def fill(self, V: np.ndarray, u: np.ndarray, beta: float, residual: np.ndarray) -> None:
        """Put the residuals of fields (batch, *shape) into ``residual``, (batch,)."""
        flat, axes = (len(u), -1), tuple(range(1, u.ndim))
        rest = np.empty_like(u)
        _potential(u.reshape(flat), V.reshape(flat), beta, rest.reshape(flat))
        spectra = [scipy.fft.rfftn(part, axes=axes).reshape(flat).view(np.float64) for part in (u, rest)]
        _spectral(u.reshape(flat), *spectra, self._symbol, self._weight, residual)


@_compile
def _potential(u, V, beta, out):
    """Fill ``out`` with (V + beta u^2) u."""
    for row in range(u.shape[0]):
        for i in range(u.shape[1]):
            out[row, i] = (V[row, i] + beta * u[row, i] * u[row, i]) * u[row, i]


@_compile
def _spectral(values, u, rest, symbol, weight, residual):
    """Residual of every row from u and the spectra of u and (V + beta u^2) u, seen as real numbers."""
    for row in range(u.shape[0]):
        mass, energy = 0.0, 0.0
        for i in range(symbol.size):
            mass += weight[i] * u[row, i] * u[row, i]
            energy += weight[i] * u[row, i] * (symbol[i] * u[row, i] + rest[row, i])
        energy /= mass
        whole, kinetic, potential = 0.0, 0.0, 0.0
        for i in range(symbol.size):
            first = symbol[i] * u[row, i]
            second = rest[row, i] - energy * u[row, i]
            whole += weight[i] * (first + second) ** 2
            kinetic += weight[i] * first * first
            potential += weight[i] * second * second
        points = values.shape[1]
        residual[row] = _relative(whole, kinetic, potential, mass, points**2) if _positive(values[row]) else np.inf


@_compile
def on_grid(u, Lu, V, beta, residual):
    """Residual of every row from u, -Laplacian u and V on the grid, (batch, points)."""
    for row in range(u.shape[0]):
        mass, energy = 0.0, 0.0
        for i in range(u.shape[1]):
            mass += u[row, i] * u[row, i]
            energy += u[row, i] * (Lu[row, i] + (V[row, i] + beta * u[row, i] * u[row, i]) * u[row, i])
        energy /= mass
        whole, kinetic, potential = 0.0, 0.0, 0.0
        for i in range(u.shape[1]):
            second = (V[row, i] + beta * u[row, i] * u[row, i] - energy) * u[row, i]
            whole += (Lu[row, i] + second) ** 2
            kinetic += Lu[row, i] * Lu[row, i]
            potential += second * second
        residual[row] = _relative(whole, kinetic, potential, mass, u.shape[1]) if _positive(u[row]) else np.inf


@_compile
def _relative(whole, kinetic, potential, mass, one):
    """Residual from the squares of its parts; ``one`` is the mass of u = 1. Infinite where a part is not a number."""
    scale = math.sqrt(kinetic) + math.sqrt(potential) + 4 * math.pi**2 * math.sqrt(mass)
    residual = math.sqrt(whole) / scale + abs(mass / one - 1)
    return residual if residual < np.inf else np.inf


@_compile
def _positive(values):
    """Whether the mean of u is above 0, and u nowhere far below. The extremes are looked for only if u dips at all."""
    total, below = 0.0, 0.0
    for i in range(values.size):
        total += values[i]
        below += abs(values[i]) - values[i]
    return total > 0 and (below == 0 or values.min() >= -NEGATIVE * values.max())
