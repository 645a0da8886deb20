"""The nonlinear Schrödinger problem on its own grid: interpolation of states from a coarser one, and their residual.

Interpolation is trigonometric, by matrix products at half their cost. Where the fine grid has twice the points, only
those between are computed. Elsewhere the sum and the difference of the two halves of an axis are interpolated apart,
each by a matrix half as long and half as wide, since interpolation commutes with a shift by half a period.

The residual of (4.2) is taken relative to |Laplacian u| + |(V + beta u^2 - E) u| + (2 pi)^2 |u|, the last term the
kinetic energy of the first harmonic, and the defect |mean(u^2) - 1| is added; E is the Rayleigh quotient of u. It is
infinite where u is not positive. It is computed from u alone, in Fourier space, or from u and its Laplacian.
"""

import math

import numba
import numpy as np
import scipy.fft

from solvers.spectral import fourier_basis

NEGATIVE = 0.01
"""Part of its maximum by which u may dip below 0: the ground state of a rough V rings on the grid."""

CACHE = 2**14
"""Numbers in one array of the samples that are taken together, so that all arrays stay in the cache."""

WORK = 6
"""Rows of the work array of `_refine`."""

NONE = np.empty((0, 0))


def refinement(coarse: tuple[int, ...], fine: tuple[int, ...]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Matrices for `prolong` and `finish`, a pair for each of three axes.

    Even and odd matrix; the matrix to the points between, and nothing; or nothing, and the whole matrix. Axes of one
    point have no part in it: the pairs of missing axes, in front, are empty.

    Parameters
    ----------
    coarse, fine : tuple of int
        Grid points along each axis, one to three axes; nowhere fewer in ``fine``.
    """
    axes = [_pair(m, n) for m, n in zip(coarse, fine, strict=True) if n > 1]
    axes = axes or [(NONE, np.ones((1, 1)))]
    return ((NONE, NONE),) * (3 - len(axes)) + tuple(axes)


def _pair(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of an axis from m to n points, as `refinement` says."""
    coarse, fine = fourier_basis(m, m)[0], fourier_basis(n, m)[0]
    whole = fine @ (coarse.T / m)
    if n == 2 * m:
        return np.ascontiguousarray(whole[1::2]), NONE
    if m % 2 or n % 2:
        return NONE, whole
    own, other = whole[: n // 2, : m // 2], whole[: n // 2, m // 2 :]
    return (own + other) / 2, (own - other) / 2


_compile = numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_compile
def prolong(values, result, matrices):
    """Interpolate states (batch, coarse points) into ``result`` (batch, points); ``matrices`` from `refinement`."""
    count, points = result.shape
    size = min(count, max(1, CACHE // points))
    space = np.empty((WORK, size * points))
    for start in range(0, count, size):
        group = slice(start, min(start + size, count))
        _refine(matrices, values[group], result[group], space)


@_compile
def finish(u, Lu, V, values, beta, matrices, residual):
    """Put u on the full grid into ``values`` and its residual there into ``residual``, in groups that fit the cache.

    Parameters
    ----------
    u, Lu : (batch, coarse points) float64
        u and -Laplacian u.
    V, values : (batch, points) float64
    beta : float
    matrices : tuple
        From `refinement`.
    residual : (batch,) float64
    """
    count, points = values.shape
    size = min(count, max(1, CACHE // points))
    space, fine = np.empty((WORK, size * points)), np.empty((size, points))
    for start in range(0, count, size):
        group = slice(start, min(start + size, count))
        rest = fine[: group.stop - start]
        _refine(matrices, u[group], values[group], space)
        _refine(matrices, Lu[group], rest, space)
        _on_grid(values[group], rest, V[group], beta, residual[group])


@_compile
def _refine(matrices, source, target, space):
    """Interpolate ``source`` (rows, coarse points) into ``target`` (rows, fine points).

    ``space`` is a work array of `WORK` rows of at least as many numbers as ``target`` has.
    """
    given, before, after = source.reshape(-1), source.size, 1
    for axis in range(2, -1, -1):
        first, second = matrices[axis]
        if first.size + second.size == 0:
            break
        before //= first.shape[1] + second.shape[1]
        wanted = 2 * first.shape[0] if first.size > 0 else second.shape[0]
        last = axis == 0 or matrices[axis - 1][0].size + matrices[axis - 1][1].size == 0
        made = target.reshape(-1) if last else space[4 + axis % 2, : before * wanted * after]
        if first.size == 0:
            _multiply(second, given, made, before, after)
        elif second.size == 0:
            _fill_between(first, given, made, before, after, space)
        else:
            _join_halves(first, second, given, made, before, after, space)
        given, after = made, made.size // before


@_compile
def _join_halves(even, odd, given, made, before, after, space):
    n, m = even.shape
    count = before * m * after
    plus, minus = space[0, :count], space[1, :count]
    _fold(given, plus, minus, before)
    count = before * n * after
    sums, differences = space[2, :count], space[3, :count]
    _multiply(even, plus, sums, before, after)
    _multiply(odd, minus, differences, before, after)
    _unfold(sums, differences, made, before)


@_compile
def _fill_between(matrix, given, made, before, after, space):
    between = space[0, : given.size]
    _multiply(matrix, given, between, before, after)
    if after == 1:
        for i in range(given.size):
            made[2 * i], made[2 * i + 1] = given[i], between[i]
        return
    for i in range(given.size // after):
        for k in range(after):
            made[2 * i * after + k] = given[i * after + k]
            made[(2 * i + 1) * after + k] = between[i * after + k]


@_compile
def _multiply(matrix, given, made, before, after):
    n, m = matrix.shape
    if after == 1:
        np.dot(given.reshape(before, m), matrix.T, made.reshape(before, n))
        return
    blocks, results = given.reshape(before, m, after), made.reshape(before, n, after)
    for index in range(before):
        np.dot(matrix, blocks[index], results[index])


@_compile
def _fold(given, plus, minus, before):
    """Sum and difference of the halves of every one of ``before`` parts of ``given``."""
    size = plus.size // before
    halves = given.reshape(before, 2, size)
    sums, differences = plus.reshape(before, size), minus.reshape(before, size)
    for index in range(before):
        for i in range(size):
            first, second = halves[index, 0, i], halves[index, 1, i]
            sums[index, i] = first + second
            differences[index, i] = first - second


@_compile
def _unfold(plus, minus, made, before):
    """The inverse of `_fold`, but for a factor 2."""
    size = plus.size // before
    halves = made.reshape(before, 2, size)
    sums, differences = plus.reshape(before, size), minus.reshape(before, size)
    for index in range(before):
        for i in range(size):
            first, second = sums[index, i], differences[index, i]
            halves[index, 0, i] = first + second
            halves[index, 1, i] = first - second


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
def _on_grid(u, Lu, V, beta, residual):
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
