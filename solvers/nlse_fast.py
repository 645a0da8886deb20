"""Fast ground states of (4.2): preconditioned nonlinear conjugate gradients on the sphere, in a few Fourier modes.

The ground state of a smooth potential is carried by a few dozen Fourier modes an axis. The equation is collocated on
the grid of these modes, and its energy minimised on the sphere mean(u^2) = 1 by nonlinear conjugate gradients,
preconditioned by P = (-Laplacian + c)^-1. As -Laplacian P r = r - c P r, an iteration costs one application of P, by
matrix products, and one pass over the sample. Where the highest modes turn out not to be negligible, the sample is
taken up again on the next finer grid. What lies beyond a band is judged by the residual on the problem's own grid,
where -Laplacian u is interpolated from the band, too: that is exact, and needs no transform there.
"""

import math
from collections.abc import Iterator
from functools import reduce

import numba
import numpy as np

from solvers.nlse_grid import finish, prolong, refinement
from solvers.spectral import apply_along_axes, fourier_basis

ITERATIONS = 100
"""Most iterations on one grid."""

ERROR = 1e-9
"""Estimated error of the iteration at which a sample has converged."""

COARSE_ERROR = 1e-6
"""The same on the coarse grid that makes the first guess."""

TAIL = 1e-7
"""Largest weight of the two highest frequencies of an axis with which a grid is fine enough; the error is a seventh."""

BLOCK = 2**16
"""Numbers in one array of the samples that are taken together."""

CACHE = 2**12
"""Numbers in one array of the samples that are iterated together, so that all arrays stay in the cache."""

PROBES = 8
"""One sample in so many tells how deep the potentials of a block are."""


def _functions(points: int, count: int) -> int:
    """Functions a band takes along an axis, see `Band`."""
    if count >= points:
        return points
    nested = (m for m in range(count, min(points, count + count // 8) + 1) if points % m == 0)
    return next(nested, count | 1)


class Band:
    """The lowest Fourier functions of every axis, and the uniform grid of as many points.

    Parameters
    ----------
    shape : tuple of int
        The problem's grid.
    count : int
        Functions along each axis, or a few more: where the axis has a subgrid of nearly as many points the band takes
        it, otherwise an odd number. All functions on an axis that has no more points.
    """

    def __init__(self, shape: tuple[int, ...], count: int):
        self.shape = tuple(_functions(points, count) for points in shape)
        own = [fourier_basis(m, m) for m in self.shape]
        self.synthesis = [basis for basis, _ in own]
        self.analysis = [np.ascontiguousarray(basis.T) / len(basis) for basis in self.synthesis]
        self.symbol = reduce(np.add.outer, (symbol for _, symbol in own))
        self.cut = [axis for axis, (m, n) in enumerate(zip(self.shape, shape, strict=True)) if m < n]
        self._laplacian = self._operator(self.symbol)
        self._full, self._refinement = tuple(shape), refinement(self.shape, shape)
        self._subgrid = self._restrict = None
        if all(n % m == 0 for n, m in zip(shape, self.shape, strict=True)):
            self._subgrid = (slice(None), *(slice(None, None, n // m) for n, m in zip(shape, self.shape, strict=True)))
        else:
            axes = zip(shape, self.shape, self.synthesis, strict=True)
            self._restrict = [synthesis @ fourier_basis(n, m)[0].T / n for n, m, synthesis in axes]

    def _operator(self, symbol: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Operator for `_apply`: its symbol, and the matrices to apply before and after it.

        In one dimension the three are multiplied out, and the symbol is empty. There are always three matrices,
        those of missing axes 1 x 1, so that one compiled function serves all dimensions.
        """
        missing = (np.ones((1, 1)),) * (3 - symbol.ndim)
        if symbol.ndim == 1:
            product = (*missing, (self.synthesis[0] * symbol) @ self.analysis[0])
            return np.empty(0), product, product
        return symbol.ravel(), (*missing, *self.analysis), (*missing, *self.synthesis)

    def laplacian(self, values: np.ndarray) -> np.ndarray:
        """-Laplacian of (batch, *shape) states."""
        image = np.empty_like(values)
        flat = (len(values), -1)
        _apply(self._laplacian, values.reshape(flat), image.reshape(flat), np.empty_like(values).reshape(flat))
        return image

    def minimise(self, V: np.ndarray, first: np.ndarray | None, constants: tuple[float, float, float]):
        """Minimise the energy for potentials V on the band's grid; ``constants``: beta, c and the error to reach.

        ``first``, (2, batch, *shape): a guess u and -Laplacian u, overwritten; without it linear response makes one.

        Returns
        -------
        state : (2, batch, *shape)
            u and -Laplacian u.
        steps : (batch,)
        converged : (batch,) bool
            Whether the iteration has converged to a positive state.
        """
        state = np.empty((2, *V.shape)) if first is None else first
        operators = self._operator(1 / (self.symbol + constants[1])), self._laplacian
        flat = (len(V), -1)
        steps, converged = _minimise(V.reshape(flat), state.reshape(2, *flat), first is None, constants, *operators)
        return state, steps, converged

    def restrict(self, field: np.ndarray) -> np.ndarray:
        """Low frequencies of (batch, *full shape) fields, on the band's grid.

        Where that is a subgrid of the full one, the values there. The frequencies that this aliases are as small in a
        smooth field as those cut off; in any other they are seen afterwards.
        """
        if self._restrict is None:
            return np.ascontiguousarray(field[self._subgrid])
        return apply_along_axes(self._restrict, field)

    def prolong(self, values: np.ndarray) -> np.ndarray:
        """Values of (batch, *shape) states on the full grid."""
        result = np.empty((len(values), *self._full))
        flat = (len(values), -1)
        prolong(values.reshape(flat), result.reshape(flat), self._refinement)
        return result

    def finish(self, state: np.ndarray, V: np.ndarray, beta: float, out: np.ndarray) -> np.ndarray:
        """Put u of a state on the full grid into ``out``; V is the potential there.

        Returns the relative residual on the full grid, (batch,).
        """
        residual = np.empty(len(V))
        (u, Lu), V, values = (part.reshape(*part.shape[: -len(self.shape)], -1) for part in (state, V, out))
        finish(u, Lu, V, values, beta, self._refinement, residual)
        return residual

    def tail(self, values: np.ndarray) -> np.ndarray:
        """Weight of the two highest frequencies of every axis that the band cuts off, (batch,)."""
        square = np.zeros(len(values))
        for axis in self.cut:
            points, others = self.shape[axis], math.prod(self.shape) // self.shape[axis]
            highest = self.analysis[axis][-4:]
            if axis == values.ndim - 2:
                top = values.reshape(-1, points) @ highest.T
            else:
                top = highest @ values.reshape(-1, points, math.prod(self.shape[axis + 1 :]))
            square += np.sum(top.reshape(len(values), -1) ** 2, axis=1) / others
        return np.sqrt(square)

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray | slice]:
        """Parts of ``rows`` (ascending) to take together; slices where they are contiguous."""
        size = max(1, BLOCK // math.prod(self.shape))
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
        Functions along each axis, coarse to fine.
    guess : int, optional
        Functions along each axis of a band, not counted among ``bands``, that makes the first guess for the first.
    """

    def __init__(self, shape: tuple[int, ...], counts: tuple[int, ...], guess: int | None = None):
        bands = (Band(shape, count) for count in counts)
        self.bands = [band for band in bands if band.shape != tuple(shape)] + [Band(shape, max(shape))]
        self._guess = self._lift = None
        if guess is not None and guess < max(self.bands[0].shape):
            self._lift = Band(self.bands[0].shape, guess)
            self._guess = Band(self._lift.shape, max(self._lift.shape))

    def start(self, potential: np.ndarray, beta: float, c: float) -> tuple[np.ndarray | None, np.ndarray | int]:
        """First guess on the first band, u and -Laplacian u, if a coarse band makes one; the iterations it took."""
        if self._guess is None:
            return None, 0
        state, steps, _ = self._guess.minimise(self._lift.restrict(potential), None, (beta, c, COARSE_ERROR))
        return self._lift.prolong(state.reshape(-1, *state.shape[2:])).reshape(2, *potential.shape), steps


def solve(field: np.ndarray, beta: float, ladder: Ladder) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
    residual : (batch,) float64
        On the problem's grid.
    """
    values, residual = np.empty_like(field), np.empty(len(field))
    iterations = np.zeros(len(field), dtype=np.int64)
    reliable = np.zeros(len(field), dtype=bool)
    rows = np.arange(len(field))
    for level, band in enumerate(ladder.bands):
        for block in band.blocks(rows):
            V, u = field[block], values[block]
            potential = band.restrict(V)
            c = _shift(potential[::PROBES], beta)
            if level == 0:
                first, iterations[block] = ladder.start(potential, beta, c)
            else:
                first = _restart(band, u)
            state, steps, converged = band.minimise(potential, first, (beta, c, ERROR))
            iterations[block] += steps
            reliable[block] = converged & (band.tail(state[0]) <= TAIL)
            residual[block] = band.finish(state, V, beta, u)
            if not isinstance(block, slice):
                values[block] = u
        rows = rows[~reliable[rows]]
    return values, iterations, reliable, residual


def _shift(potential, beta):
    """Shift c of the preconditioner: the curvature 2 beta of the energy at u = 1, or more in deep potentials."""
    flat = potential.reshape(len(potential), -1)
    variance = np.einsum("bi,bi->b", flat, flat) / flat.shape[1] - flat.mean(axis=1) ** 2
    return max(2 * beta, 20.0, 0.7 * math.sqrt(max(0.0, float(variance.mean()))))


def _restart(band, values):
    """Guess u and -Laplacian u from the result on a coarser band."""
    u = band.restrict(values)
    u[~np.isfinite(u).reshape(len(u), -1).all(axis=1)] = 1.0
    return np.stack([u, band.laplacian(u)])


_compile = numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_compile
def _minimise(V, state, fresh, constants, inverse, laplacian):
    """Minimise the energy for all samples, in groups that fit the cache; see `Band.minimise`."""
    count, points = V.shape
    size = min(count, max(1, CACHE // points))
    space = np.empty((5, size, points))
    steps, converged = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
    for start in range(0, count, size):
        group = slice(start, min(start + size, count))
        u, Lu = state[0, group], state[1, group]
        if fresh:
            _respond(V[group], u, Lu, space[0, : len(u)], inverse, laplacian)
        _descend(u, Lu, V[group], space, steps[group], converged[group], constants, inverse)
    return steps, converged


@_compile
def _respond(V, u, Lu, work, inverse, laplacian):
    """Guess u, the second order of exp(-P (V - mean V)), the exponential of linear response, and -Laplacian u."""
    for row in range(len(V)):
        mean = V[row].mean()
        for i in range(V.shape[1]):
            Lu[row, i] = mean - V[row, i]
    _apply(inverse, Lu, u, work)
    for row in range(len(V)):
        for i in range(V.shape[1]):
            u[row, i] = 1 + u[row, i] + 0.5 * u[row, i] * u[row, i]
    _apply(laplacian, u, Lu, work)


@_compile
def _descend(u, Lu, V, space, steps, converged, constants, inverse):
    """Iterate a group of samples; P is applied to those that have not converged."""
    count = len(u)
    r, z, d, Ld, work = space[0], space[1], space[2], space[3], space[4]
    errors, scalars = np.full(count, np.inf), np.empty((count, 4))
    order, left = np.arange(count), count
    _gradient(u, Lu, V, r, d, Ld, scalars, constants)
    for _ in range(ITERATIONS):
        _apply(inverse, r[:left], z[:left], work[:left])
        for place in range(left):
            steps[order[place]] += 1
        left = _advance(u, Lu, V, r, z, d, Ld, scalars, order, left, errors, constants)
        if left == 0:
            break
    for row in range(count):
        converged[row] = errors[row] <= constants[2] and u[row].min() > 0


@_compile
def _apply(operator, source, target, work):
    """Fill ``target`` with the operator's image of ``source``."""
    symbol, before, after = operator
    if symbol.size == 0:
        np.dot(source, after[2], target)
        return
    result, spare = _transform(before, source, work, target)
    result *= symbol
    _transform(after, result, spare, result)


@_compile
def _transform(matrices, source, first, second):
    """Apply a square matrix along every axis there is, last axis first, into ``first`` and ``second`` in turn.

    Returns the one that holds the result, and the other.
    """
    points = matrices[-1].shape[0]
    np.dot(source.reshape(-1, points), matrices[-1].T, first.reshape(-1, points))
    after = points
    for axis in range(len(matrices) - 2, -1, -1):
        points = matrices[axis].shape[0]
        if points == 1:
            continue
        given, made = first.reshape(-1, points, after), second.reshape(-1, points, after)
        for index in range(given.shape[0]):
            np.dot(matrices[axis], given[index], made[index])
        first, second = second, first
        after *= points
    return first, second


@_compile
def _gradient(u, Lu, V, r, d, Ld, scalars, constants):
    """Normalise u, find the first r = H u - E u; no direction yet.

    ``scalars`` of a row: E, <z, r>, <z, next r> and the length of the last step.
    """
    n, beta = u.shape[1], constants[0]
    for row in range(u.shape[0]):
        square, energy = 0.0, 0.0
        for i in range(n):
            square += u[row, i] * u[row, i]
        scale = 1 / math.sqrt(square / n)
        for i in range(n):
            u[row, i] *= scale
            Lu[row, i] *= scale
            r[row, i] = Lu[row, i] + (V[row, i] + beta * u[row, i] * u[row, i]) * u[row, i]
            energy += r[row, i] * u[row, i]
        energy /= n
        for i in range(n):
            r[row, i] -= energy * u[row, i]
            d[row, i] = Ld[row, i] = 0.0
        scalars[row] = (energy, 0.0, 0.0, 1.0)


@_compile
def _advance(u, Lu, V, r, z, d, Ld, scalars, order, active, errors, constants):
    """One step of the ``active`` rows in ``order``; returns how many have not converged, and puts these in front.

    r and z = P r hold active rows only, without gaps; all else is indexed by row. The direction d is that of Polak
    and Ribière, made tangent to the sphere; the step is Newton's along it; Lu and Ld are -Laplacian u and d. A step
    shrinks the error as much as the step before did, or 30 times if that is less.
    """
    n = u.shape[1]
    beta, c, accepted = constants
    left = 0
    for place in range(active):
        row = order[place]
        energy, old, cross, before = scalars[row]
        zu, zr, ud = 0.0, 0.0, 0.0
        for i in range(n):
            zu += z[place, i] * u[row, i]
            zr += z[place, i] * r[place, i]
            ud += u[row, i] * d[row, i]
        b = max(0.0, (zr - cross) / old) if old > 0 else 0.0
        a = (zu - b * ud) / n
        slope, curvature, square = 0.0, 0.0, 0.0
        for i in range(n):
            d[row, i] = b * d[row, i] - z[place, i] + a * u[row, i]
            Ld[row, i] = b * Ld[row, i] - r[place, i] + c * z[place, i] + a * Lu[row, i]
            w = V[row, i] + 3 * beta * u[row, i] * u[row, i] - energy
            slope += d[row, i] * r[place, i]
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
            r[left, i] = Lu[row, i] + (V[row, i] + beta * u[row, i] * u[row, i]) * u[row, i]
            energy += r[left, i] * u[row, i]
        energy /= n
        cross = 0.0
        for i in range(n):
            r[left, i] -= energy * u[row, i]
            cross += r[left, i] * z[place, i]
        scalars[row] = (energy, zr, cross, length)
        if not errors[row] <= accepted:
            order[left] = row
            left += 1
    return left
