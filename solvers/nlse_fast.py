"""Fast ground states of (4.2): preconditioned nonlinear conjugate gradients on the sphere, in a few Fourier modes.

The ground state of a smooth potential is carried by a few dozen Fourier modes an axis. The equation is collocated on
the grid of these modes, and its energy minimised on the sphere mean(u^2) = 1 by nonlinear conjugate gradients,
preconditioned by P = (-Laplacian + c)^-1. As -Laplacian P r = r - c P r, an iteration costs one application of P, by
matrix products, and one pass over the sample. Where the highest modes turn out not to be negligible, the sample is
taken up again on the next finer grid. What lies beyond a band is judged by the residual on the problem's own grid.
"""

import math
from collections.abc import Iterator
from functools import reduce

import numba
import numpy as np

from solvers.spectral import apply_along_axes, fourier_basis

ITERATIONS = 100
"""Most iterations on one grid."""

ERROR = 5e-10
"""Estimated error of the iteration at which a sample has converged."""

COARSE_ERROR = 1e-6
"""The same on the coarse grid that makes the first guess."""

TAIL = 2e-8
"""Largest weight of the two highest frequencies of an axis with which a grid counts as fine enough."""

TILE = 2**15
"""Numbers in one array of a tile, so that its arrays stay in the cache."""


class Band:
    """The lowest Fourier functions of every axis, and the uniform grid of as many points.

    Parameters
    ----------
    shape : tuple of int
        The problem's grid.
    count : int
        Functions along each axis, odd; all of them on an axis that has no more points.
    """

    def __init__(self, shape: tuple[int, ...], count: int):
        self.shape = tuple(min(count, points) for points in shape)
        own = [fourier_basis(m, m) for m in self.shape]
        self.synthesis = [basis for basis, _ in own]
        self.analysis = [np.ascontiguousarray(basis.T) / len(basis) for basis in self.synthesis]
        self.symbol = reduce(np.add.outer, (symbol for _, symbol in own))
        self.cut = [axis for axis, (m, n) in enumerate(zip(self.shape, shape, strict=True)) if m < n]
        self._prolong = self._matrices(shape)
        strides = [n // m if n % (n // m) == 0 else 1 for n, m in zip(shape, self.shape, strict=True)]
        self._subgrid = (slice(None), *(slice(None, None, stride) for stride in strides))
        sampled = [n // stride for n, stride in zip(shape, strides, strict=True)]
        self._restrict = [
            matrix.T * (m / n) for matrix, m, n in zip(self._matrices(sampled), self.shape, sampled, strict=True)
        ]

    def _matrices(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Interpolation from the band's grid to a finer one, axis by axis."""
        return [
            fourier_basis(n, m)[0] @ analysis for n, m, analysis in zip(shape, self.shape, self.analysis, strict=True)
        ]

    def restrict(self, field: np.ndarray) -> np.ndarray:
        """Low frequencies of (batch, *full shape) fields, on the band's grid.

        Taken from a subgrid of the full one where there is one as fine as the band's. The frequencies that this
        aliases are beyond the band: as small in a smooth field as what is cut off, and in any other seen afterwards.
        """
        return apply_along_axes(self._restrict, field[self._subgrid])

    def prolong(self, values: np.ndarray) -> np.ndarray:
        """Values of (batch, *shape) states on the full grid."""
        return apply_along_axes(self._prolong, values)

    def multiplier(self, symbol: np.ndarray):
        """Return the operator with this symbol as a function of (batch, *shape) arrays."""
        if symbol.ndim == 1:
            matrix = (self.synthesis[0] * symbol) @ self.analysis[0]
            return lambda values: values @ matrix
        return lambda values: apply_along_axes(self.synthesis, symbol * apply_along_axes(self.analysis, values))

    def tail(self, values: np.ndarray) -> np.ndarray:
        """Weight of the two highest frequencies of every axis that the band cuts off, (batch,)."""
        square = np.zeros(len(values))
        for axis in self.cut:
            points = self.shape[axis]
            stacked = values.reshape(len(values), math.prod(self.shape[:axis]), points, -1)
            top = self.analysis[axis][-4:] @ stacked
            square += np.einsum("bikj,bikj->b", top, top) * (points / math.prod(self.shape))
        return np.sqrt(square)

    def tiles(self, rows: np.ndarray) -> Iterator[np.ndarray | slice]:
        """Parts of ``rows`` (ascending) whose arrays stay in the cache; slices where they are contiguous."""
        size = max(1, TILE // math.prod(self.shape))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            contiguous = part[-1] - part[0] + 1 == len(part)
            yield slice(part[0], part[-1] + 1) if contiguous else part


class Ladder:
    """The bands of a problem from coarse to fine, ending with its own grid.

    Parameters
    ----------
    shape : tuple of int
        The problem's grid.
    counts : sequence of int
        Functions along each axis, coarse to fine, odd. The first makes the first guess for the second.
    """

    def __init__(self, shape: tuple[int, ...], counts: tuple[int, ...]):
        smaller = [count for count in counts if count < max(shape)]
        self.bands = [Band(shape, count) for count in (*smaller, max(shape))]
        self.guess = None
        if len(smaller) > 1:
            self.guess, *self.bands = self.bands
            self.lift = Band(self.bands[0].shape, counts[0])

    def start(self, potential: np.ndarray, beta: float, c: float) -> tuple[np.ndarray, np.ndarray]:
        """First guess on the first band, and the iterations it took."""
        if self.guess is None:
            return _linear_response(self.bands[0], potential, c), 0
        coarse = self.lift.restrict(potential)
        state = _linear_response(self.guess, coarse, c)
        steps, _ = _minimise(self.guess, coarse, state, beta, c, COARSE_ERROR)
        return self.lift.prolong(state), steps


def solve(field: np.ndarray, beta: float, ladder: Ladder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve for the ground state of every sample.

    Parameters
    ----------
    field : (batch, *shape) float64
        Potential V.
    beta : float
    ladder : Ladder

    Returns
    -------
    values : (batch, *shape) float64
    iterations : (batch,) int64
        On all grids together.
    reliable : (batch,) bool
        Whether the iteration converged to a positive state within its band.
    """
    values = np.empty_like(field)
    iterations = np.zeros(len(field), dtype=np.int64)
    reliable = np.zeros(len(field), dtype=bool)
    rows = np.arange(len(field))
    for level, band in enumerate(ladder.bands):
        for tile in band.tiles(rows):
            potential = band.restrict(field[tile])
            c = _shift(potential, beta)
            if level == 0:
                state, iterations[tile] = ladder.start(potential, beta, c)
            else:
                state = band.restrict(values[tile])
                lost = ~np.isfinite(state).reshape(len(state), -1).all(axis=1)
                if lost.any():
                    state[lost] = _linear_response(band, potential[lost], c)
            steps, converged = _minimise(band, potential, state, beta, c, ERROR)
            iterations[tile] += steps
            positive = state.reshape(len(state), -1).min(axis=1) > 0
            reliable[tile] = converged & positive & (band.tail(state) <= TAIL)
            values[tile] = band.prolong(state)
        rows = rows[~reliable[rows]]
    return values, iterations, reliable


def _shift(potential, beta):
    """Shift c of the preconditioner: the curvature 2 beta of the energy at u = 1, or more in deep potentials."""
    axes = tuple(range(1, potential.ndim))
    return max(2 * beta, 20.0, 0.7 * float(np.mean(np.std(potential, axis=axes))))


def _linear_response(band, potential, c):
    """Second order of exp(-P (V - mean V)), the exponential of linear response, normalised; positive."""
    axes = tuple(range(1, potential.ndim))
    respond = band.multiplier(1 / (band.symbol + c))
    w = respond(potential.mean(axis=axes, keepdims=True) - potential)
    u = 1 + w + 0.5 * w * w
    return u / np.sqrt(np.mean(u * u, axis=axes, keepdims=True))


def _minimise(band, potential, state, beta, c, error):
    """Minimise the energy from ``state`` (overwritten). Returns steps (batch,) and whether each sample converged."""
    precondition = band.multiplier(1 / (band.symbol + c))
    shape, count = state.shape, len(state)
    u, V = state.reshape(count, -1), potential.reshape(count, -1)
    Lu = band.multiplier(band.symbol)(state).reshape(count, -1)
    d, Ld, r = np.zeros_like(u), np.zeros_like(u), np.empty_like(u)
    scalars = np.empty((count, 4))
    _gradient(u, Lu, V, r, beta, scalars)
    active = np.arange(count)
    steps, converged = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
    out = u
    for _ in range(ITERATIONS):
        z = precondition(r.reshape(-1, *shape[1:])).reshape(len(r), -1)
        done = _advance(u, Lu, V, r, z, d, Ld, c, beta, scalars) <= error
        steps[active] += 1
        if 4 * np.count_nonzero(done) > len(done):
            if u is not out:
                out[active] = u
            converged[active[done]] = True
            going = ~done
            active = active[going]
            if not len(active):
                return steps, converged
            u, Lu, V, r, d, Ld, scalars = (part[going] for part in (u, Lu, V, r, d, Ld, scalars))
    if u is not out:
        out[active] = u
    return steps, converged


@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _gradient(u, Lu, V, r, beta, scalars):
    """Gradient H u - E u of normalised u. Scalars of a row: E, <z, r>, <z, next r>, length of the last step."""
    n = u.shape[1]
    for row in range(u.shape[0]):
        energy = 0.0
        for i in range(n):
            r[row, i] = Lu[row, i] + (V[row, i] + beta * u[row, i] * u[row, i]) * u[row, i]
            energy += r[row, i] * u[row, i]
        energy /= n
        for i in range(n):
            r[row, i] -= energy * u[row, i]
        scalars[row] = (energy, 0.0, 0.0, 1.0)


@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _advance(u, Lu, V, r, z, d, Ld, c, beta, scalars):
    """One step of every row, z = P r given; returns estimates of the errors left.

    The direction d is that of Polak and Ribière, made tangent to the sphere; the step is Newton's along it; Lu and Ld
    are -Laplacian u and d. A step shrinks the error as much as the step before did, or 30 times if that is less.
    """
    n = u.shape[1]
    errors = np.empty(u.shape[0])
    for row in range(u.shape[0]):
        energy, old, cross, before = scalars[row]
        zu, zr, ud = 0.0, 0.0, 0.0
        for i in range(n):
            zu += z[row, i] * u[row, i]
            zr += z[row, i] * r[row, i]
            ud += u[row, i] * d[row, i]
        b = max(0.0, (zr - cross) / old) if old > 0 else 0.0
        a = (zu - b * ud) / n
        slope, curvature, square = 0.0, 0.0, 0.0
        for i in range(n):
            d[row, i] = b * d[row, i] - z[row, i] + a * u[row, i]
            Ld[row, i] = b * Ld[row, i] - r[row, i] + c * z[row, i] + a * Lu[row, i]
            w = V[row, i] + 3 * beta * u[row, i] * u[row, i] - energy
            slope += d[row, i] * r[row, i]
            curvature += d[row, i] * (Ld[row, i] + w * d[row, i])
            square += d[row, i] * d[row, i]
        s = -slope / curvature if curvature > 0 else 0.0
        length = abs(s) * math.sqrt(square / n)
        errors[row] = length * min(1.0, max(length / before, 1 / 30)) if curvature > 0 or square == 0 else np.inf
        scale = 1 / math.sqrt(1 + s * s * square / n)
        energy = 0.0
        for i in range(n):
            u[row, i] = (u[row, i] + s * d[row, i]) * scale
            Lu[row, i] = (Lu[row, i] + s * Ld[row, i]) * scale
            r[row, i] = Lu[row, i] + (V[row, i] + beta * u[row, i] * u[row, i]) * u[row, i]
            energy += r[row, i] * u[row, i]
        energy /= n
        cross = 0.0
        for i in range(n):
            r[row, i] -= energy * u[row, i]
            cross += r[row, i] * z[row, i]
        scalars[row] = (energy, zr, cross, length)
    return errors
