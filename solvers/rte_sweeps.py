"""Compiled kernels of the slab: products by sweeps over the cells with a sum of exponentials, and GMRES on them."""

import math
from typing import NamedTuple

import numba
import numpy as np

OPTIONS = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}
"""The error model of numpy: a test for division by zero would keep loops from being vectorised."""
TERMS = 16
"""Exponentials in the sum. A constant of the compiled code, so that a cell's terms fill whole registers."""
KRYLOV = 60
"""Largest Krylov space; a sample that needs more is left to the dense method."""
TOLERANCE = 1e-8
"""Residual at which GMRES stops, relative to the source."""


class Tables(NamedTuple):
    """What does not depend on the sample: the stencil of optical widths, the exponentials, the coefficients."""

    start: np.ndarray
    weights: np.ndarray
    rates: np.ndarray
    e2: np.ndarray
    e3: np.ndarray
    absorption: float
    log_correction: float


class Medium(NamedTuple):
    """A sample.

    Albedo, reciprocal optical widths of the intervals, weights of the left and the right difference in the second
    difference, the local correction, the decay of each exponential across each interval, and rows of scratch.
    """

    omega: np.ndarray
    steepness: np.ndarray
    before: np.ndarray
    after: np.ndarray
    local: np.ndarray
    decay: np.ndarray
    powers: np.ndarray
    nodal: np.ndarray
    jumps: np.ndarray


@numba.njit(**OPTIONS)
def allocate(n):
    """Room for a sample of n cells, used again for every sample of a batch."""
    omega, steepness, nodal, jumps = np.empty(n), np.empty(n + 1), np.empty(n), np.empty(n)
    before, after, local = np.zeros(n), np.zeros(n), np.zeros(n)
    decay, powers = np.empty((n + 1, TERMS)), np.empty((n + 1, TERMS))
    return Medium(omega, steepness, before, after, local, decay, powers, nodal, jumps)


@numba.njit(cache=True, fastmath={"contract"})
def exponential(x, power):
    """Exponential of non-positive numbers in place, to a relative 1e-13; it vectorises, with scratch in ``power``."""
    shift = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the lowest bits
    bits = power.view(np.int64)
    for i in range(x.size):
        y = max(x[i], -700.0)
        power[i] = y * 1.4426950408889634 + shift
        n = power[i] - shift
        r = (y - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10
        y = 1.0 / 3628800.0
        y = y * r + 1.0 / 362880.0
        y = y * r + 1.0 / 40320.0
        y = y * r + 1.0 / 5040.0
        y = y * r + 1.0 / 720.0
        y = y * r + 1.0 / 120.0
        y = y * r + 1.0 / 24.0
        y = y * r + 1.0 / 6.0
        y = y * r + 0.5
        y = y * r + 1.0
        x[i] = y * r + 1.0
    for i in range(x.size):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(x.size):
        x[i] *= power[i]


@numba.njit(**OPTIONS)
def prepare(tables, mu_s, medium):
    """Fill ``medium`` with everything that a product needs of one sample."""
    n, order = mu_s.size, tables.weights.shape[1]
    cell, width = tables.absorption / n, medium.steepness
    for k in range(n + 1):
        scattering, first = 0.0, tables.start[k]
        for t in range(order):
            scattering += tables.weights[k, t] * mu_s[first + t]
        # The interpolant of a rough field can dip below zero, mu_s itself does not.
        width[k] = max(scattering, 0.0) + (cell if 0 < k < n else 0.5 * cell)
    for k in range(n + 1):
        for m in range(TERMS):
            medium.decay[k, m] = -tables.rates[m] * width[k]
    exponential(medium.decay.reshape(-1), medium.powers.reshape(-1))
    for i in range(1, n - 1):
        left, right = width[i], width[i + 1]
        medium.before[i] = 2 * right / (left + right)
        medium.after[i] = 2 * left / (left + right)
        medium.local[i] = tables.log_correction * math.sqrt(left * right)
    for i in range(n):
        medium.omega[i] = mu_s[i] / (mu_s[i] + tables.absorption)
    for k in range(n + 1):
        width[k] = 1 / width[k]


@numba.njit(**OPTIONS)
def sweep(tables, decay, jumps, ends, out):
    """Half the sum over nodes of E_3 (distance) x jump, with states entering at both ends; adds to ``out``.

    The states are those of the exponentials over their weights in E_3: they decay, and take up jumps as they are.
    ``ends`` has them at the two ends of the slab, a row each; they are used up. Both directions count a node's own
    jump.
    """
    n = jumps.size
    forward, backward = ends[0], ends[1]
    for i in range(n):
        k = n - 1 - i
        left, right = 0.0, 0.0
        for m in range(TERMS):
            f = decay[i, m] * forward[m] + jumps[i]
            b = decay[k + 1, m] * backward[m] + jumps[k]
            left += tables.e3[m] * f
            right += tables.e3[m] * b
            forward[m], backward[m] = f, b
        out[i] += 0.5 * left
        out[k] += 0.5 * right
    own = 0.5 * np.sum(tables.e3)
    for i in range(n):
        out[i] -= own * jumps[i]


@numba.njit(**OPTIONS)
def source(tables, medium, out):
    """Write (E_2(tau) + E_2(T - tau)) / (2 mu_a) at the centres into ``out``."""
    ends = np.empty((2, TERMS))
    ends[:] = tables.rates / tables.absorption
    medium.jumps[:] = 0
    out[:] = 0
    sweep(tables, medium.decay, medium.jumps, ends, out)


@numba.njit(**OPTIONS)
def scatter(tables, medium, e, out):
    """Write 1/2 int E_1 omega e at the centres into ``out``."""
    n, steepness = e.size, medium.steepness
    omega, nodal, jumps = medium.omega, medium.nodal, medium.jumps
    out[0] = nodal[0] = omega[0] * e[0]
    out[n - 1] = nodal[n - 1] = omega[n - 1] * e[n - 1]
    for i in range(1, n - 1):
        p = omega[i] * e[i]
        second = medium.after[i] * (omega[i + 1] * e[i + 1] - p) - medium.before[i] * (p - omega[i - 1] * e[i - 1])
        nodal[i] = p - second * (1.0 / 12.0)
        out[i] = nodal[i] + medium.local[i] * second
    for i in range(1, n - 1):
        jumps[i] = steepness[i + 1] * (nodal[i + 1] - nodal[i]) - steepness[i] * (nodal[i] - nodal[i - 1])
    rise, fall = 0.5 * (nodal[1] - nodal[0]), 0.5 * (nodal[n - 1] - nodal[n - 2])
    first, last = rise * steepness[0], fall * steepness[n]
    jumps[0] = 2 * rise * steepness[1] - first
    jumps[n - 1] = last - 2 * fall * steepness[n - 1]
    ends = np.empty((2, TERMS))
    for m in range(TERMS):
        ends[0, m] = first - (nodal[0] - rise) * tables.rates[m]
        ends[1, m] = -last - (nodal[n - 1] + fall) * tables.rates[m]
    sweep(tables, medium.decay, jumps, ends, out)


@numba.njit(**OPTIONS)
def orthogonalise(basis, k, column):
    """Make row k + 1 of ``basis`` orthonormal to the rows before it; the coefficients go into ``column``."""
    new = basis[k + 1]
    for i in range(k + 1):
        old, product = basis[i], 0.0
        for j in range(new.size):
            product += old[j] * new[j]
        for j in range(new.size):
            new[j] -= product * old[j]
        column[i] = product
    square = 0.0
    for j in range(new.size):
        square += new[j] * new[j]
    column[k + 1] = math.sqrt(square)
    if square > 0:
        new *= 1 / column[k + 1]


@numba.njit(**OPTIONS)
def rotate(R, k, rotations, rhs):
    """Apply the Givens rotations so far to column k of R, and a new one that makes it upper triangular."""
    for i in range(k):
        c, s = rotations[i]
        R[i, k], R[i + 1, k] = c * R[i, k] + s * R[i + 1, k], c * R[i + 1, k] - s * R[i, k]
    length = math.hypot(R[k, k], R[k + 1, k])
    c, s = R[k, k] / length, R[k + 1, k] / length
    rotations[k, 0], rotations[k, 1] = c, s
    R[k, k], R[k + 1, k] = length, 0.0
    rhs[k], rhs[k + 1] = c * rhs[k], -s * rhs[k]


@numba.njit(**OPTIONS)
def gmres(tables, medium, basis, R, e):
    """Solve e - 1/2 int E_1 omega e = g; ``e`` holds g, where the search starts, and then the solution.

    Returns the products taken, and whether the residual came below ``TOLERANCE`` of g.
    """
    rhs, rotations, column = np.zeros(KRYLOV + 1), np.empty((KRYLOV, 2)), np.empty(KRYLOV + 1)
    allowed = TOLERANCE * math.sqrt(np.sum(e * e))
    scatter(tables, medium, e, basis[0])
    rhs[0] = math.sqrt(np.sum(basis[0] * basis[0]))
    k = 0
    if rhs[0] > 0:
        basis[0] *= 1 / rhs[0]
    while abs(rhs[k]) > allowed and k < KRYLOV:
        scatter(tables, medium, basis[k], basis[k + 1])
        basis[k + 1] = basis[k] - basis[k + 1]
        orthogonalise(basis, k, column)
        R[: k + 2, k] = column[: k + 2]
        rotate(R, k, rotations, rhs)
        k += 1
    converged = abs(rhs[k]) <= allowed
    for i in range(k - 1, -1, -1):
        rhs[i] /= R[i, i]
        rhs[:i] -= rhs[i] * R[:i, i]
        e += rhs[i] * basis[i]
    return k + 1, converged


@numba.njit(**OPTIONS)
def mismatch(tables, medium, e, g, u):
    """|u - K(mu_s u + 1)| / |u|, where e = 1 / mu_a - u and g is its source."""
    image = np.empty(e.size)
    scatter(tables, medium, e, image)
    square, size = 0.0, 0.0
    for i in range(e.size):
        square += (image[i] + g[i] - e[i]) ** 2
        size += u[i] * u[i]
    return math.sqrt(square / size)


@numba.njit(nogil=True, **OPTIONS)
def solve(tables, field):
    """Densities (batch, N), products taken, success and relative residuals (batch,) for scattering coefficients."""
    batch, n = field.shape
    values, products = np.empty((batch, n)), np.empty(batch, np.int64)
    converged, residual = np.empty(batch, np.bool_), np.empty(batch)
    medium, basis, R = allocate(n), np.empty((KRYLOV + 1, n)), np.empty((KRYLOV + 1, KRYLOV))
    e, g = np.empty(n), np.empty(n)
    for b in range(batch):
        prepare(tables, field[b], medium)
        source(tables, medium, g)
        e[:] = g
        products[b], converged[b] = gmres(tables, medium, basis, R, e)
        values[b] = 1 / tables.absorption - e
        residual[b] = mismatch(tables, medium, e, g, values[b])
    return values, products, converged, residual


@numba.njit(nogil=True, **OPTIONS)
def residuals(tables, field, values):
    """Relative residuals |u - K(mu_s u + 1)| / |u| of a batch."""
    batch, n = field.shape
    out, medium = np.empty(batch), allocate(n)
    e, g = np.empty(n), np.empty(n)
    for b in range(batch):
        prepare(tables, field[b], medium)
        source(tables, medium, g)
        e[:] = 1 / tables.absorption - values[b]
        out[b] = mismatch(tables, medium, e, g, values[b])
    return out
