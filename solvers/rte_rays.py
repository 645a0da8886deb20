"""Compiled kernels of the plane: transport along families of parallel rays, forth and back, on sheared grids.

Rays of slope t = dy/dx, |t| <= 1, meet column i of the grid at y = (R + t i + 1/2) h for integers R, i counted from
the middle: shifting every column by t i cells turns rays into rows of an array. Integrals along rays are then sums
over columns, vectorised over rays. Steeper rays are those of the transposed field. Arrays are in single precision:
they carry u - u_0 only, which is small.
"""

from typing import NamedTuple

import numba
import numpy as np

OPTIONS = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}
"""The error model of numpy: a test for division by zero would keep loops from being vectorised."""
GHOST_ROWS, RAY_ROWS, RESULT_ROWS = 10, 7, 3
"""Rows beyond the walls: of the padded field, of rays that carry a source, and of rays whose result is used."""
LANES = 32
"""Lengths of inner loops are multiples of this, so that none ends in single steps."""
GHOST_COLUMNS = 2
"""Columns beyond the walls."""
TAPS = 6
"""Points of the interpolation between rows, and of the quadrature along rays."""


class Fan(NamedTuple):
    """Families of rays, one for each slope (the first axis of every array).

    ``step`` is the distance between columns along a ray; ``offset`` and ``to_rays`` say how column i is shifted onto
    the rays, ``from_rays`` how it is shifted back; ``growth`` is exp(mu_a s) with s the distance from the first wall.
    ``entry`` and ``exit`` hold, for every ray, the first and the last column inside the square, ``entry_gap`` and
    ``exit_gap`` the distances in steps from there to the walls, ``entry_growth`` and ``exit_growth`` exp(mu_a s) at
    the walls.
    """

    step: np.ndarray
    offset: np.ndarray
    to_rays: np.ndarray
    from_rays: np.ndarray
    growth: np.ndarray
    entry: np.ndarray
    exit: np.ndarray
    entry_gap: np.ndarray
    exit_gap: np.ndarray
    entry_growth: np.ndarray
    exit_growth: np.ndarray


class Room(NamedTuple):
    """Scratch for one family of rays: rows are columns of the grid, columns are rays."""

    mu_s: np.ndarray
    emission: np.ndarray
    forth: np.ndarray
    back: np.ndarray
    decay: np.ndarray
    depth: np.ndarray
    result: np.ndarray


@numba.njit(**OPTIONS)
def loop_length(n):
    """Rays of a column that are computed: n and RAY_ROWS on either side, rounded up."""
    return (n + 2 * RAY_ROWS + LANES - 1) // LANES * LANES


def lagrange(fraction: np.ndarray) -> np.ndarray:
    """Weights of the TAPS points -2, ..., 3 for interpolation at ``fraction`` in [0, 1]; the last axis is new."""
    points = np.arange(TAPS) - (TAPS // 2 - 1)
    weights = np.ones((*np.shape(fraction), TAPS))
    for a, here in enumerate(points):
        for there in points[points != here]:
            weights[..., a] *= (fraction - there) / (here - there)
    return weights


def fan(n: int, slopes: np.ndarray, absorption: float) -> Fan:
    """Tables of the families of rays with the given slopes on an n x n grid of the unit square."""
    column = np.arange(-GHOST_COLUMNS, n + GHOST_COLUMNS)
    # Rays pass through whole rows in the middle column, so that families of opposite slopes mirror each other.
    middle = (n - 1) / 2
    shift = slopes[:, None] * (column - middle)
    whole = np.floor(shift).astype(np.int64)
    fraction = shift - whole
    base = n // 2 + GHOST_COLUMNS + RAY_ROWS + TAPS
    ray = np.arange(2 * base + loop_length(n)) - base
    with np.errstate(divide="ignore"):
        walls = middle + (np.array([-0.5, n - 0.5])[:, None, None] - ray) / slopes[:, None]
    enter = np.clip(np.minimum(walls[0], walls[1]), -0.5, n - 0.5)
    leave = np.clip(np.maximum(walls[0], walls[1]), -0.5, n - 0.5)
    entry = np.clip(np.ceil(enter), 0, n - 1)
    last = np.clip(np.floor(leave), 0, n - 1)
    step = np.sqrt(1 + slopes**2) / n

    def growth(position):
        return np.exp(absorption * (position + 0.5) * step[:, None]).astype(np.float32)

    return Fan(
        step.astype(np.float32),
        base - whole,
        lagrange(fraction).astype(np.float32),
        lagrange(1 - fraction).astype(np.float32),
        growth(column),
        entry.astype(np.int64) + GHOST_COLUMNS,
        last.astype(np.int64) + GHOST_COLUMNS,
        (entry - enter).astype(np.float32),
        (leave - last).astype(np.float32),
        growth(enter),
        1 / growth(leave),
    )


@numba.njit(**OPTIONS)
def allocate(n, rays):
    """Scratch for an n x n grid."""
    columns = n + 2 * GHOST_COLUMNS
    shape = (columns, rays)
    return Room(
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.ones(shape, np.float32),
        np.zeros(rays, np.float32),
        np.zeros(rays, np.float32),
    )


@numba.njit(**OPTIONS)
def shift(source, weights, target, start, first, count):
    """target[start + j] = sum over taps of weights x source[first + j + tap], for one row."""
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    out = target[start : start + count]
    row = source[first : first + count + TAPS - 1]
    for j in range(count):
        near = w2 * row[j + 2] + w3 * row[j + 3]
        out[j] = near + w1 * row[j + 1] + w4 * row[j + 4] + w0 * row[j] + w5 * row[j + 5]


@numba.njit(**OPTIONS)
def onto_rays(fan, k, mu_s, emission, room, n):
    """Shift the padded fields onto the rays of family k, with zeros at either side of the rays in use."""
    first, count = GHOST_ROWS - RAY_ROWS - 2, loop_length(n)
    for i in range(n + 2 * GHOST_COLUMNS):
        start = fan.offset[k, i] - RAY_ROWS
        shift(mu_s[i], fan.to_rays[k, i], room.mu_s[i], start, first, count)
        shift(emission[i], fan.to_rays[k, i], room.emission[i], start, first, count)
        for j in range(TAPS // 2):
            for edge in (start - 1 - j, start + count + j):
                room.mu_s[i, edge] = 0
                room.forth[i, edge] = 0
                room.back[i, edge] = 0


@numba.njit(**OPTIONS)
def add_integral(F, i, scale, out, start, count):
    """Add the integral of F from column i to column i + 1, by six points, to ``out``."""
    a, b, c = np.float32(802 / 1440) * scale, np.float32(-93 / 1440) * scale, np.float32(11 / 1440) * scale
    f0, f1, f2 = F[i - 2, start : start + count], F[i - 1, start : start + count], F[i, start : start + count]
    f3, f4, f5 = F[i + 1, start : start + count], F[i + 2, start : start + count], F[i + 3, start : start + count]
    to = out[start : start + count]
    for j in range(count):
        to[j] += a * (f2[j] + f3[j]) + (b * (f1[j] + f4[j]) + c * (f0[j] + f5[j]))


@numba.njit(**OPTIONS)
def exponential(x, halvings, out):
    """Write exp(x) into ``out``: a Taylor polynomial of x / 2^halvings, squared as often."""
    scale = np.float32(0.5**halvings)
    c6, c5, c4 = np.float32(1 / 720), np.float32(1 / 120), np.float32(1 / 24)
    c3, c2, one = np.float32(1 / 6), np.float32(0.5), np.float32(1)
    for j in range(x.size):
        z = scale * x[j]
        out[j] = one + z * (one + z * (c2 + z * (c3 + z * (c4 + z * (c5 + z * c6)))))
    for _ in range(halvings):
        for j in range(x.size):
            out[j] *= out[j]


@numba.njit(**OPTIONS)
def weigh(source, mu_s, wall, growth, inverse, decay, out):
    """Write mu_s (u - phi_0) x decay into ``out``; phi_0 = (1 - growth wall) / mu_a, ``source`` = mu_s u."""
    factor = growth * inverse
    for j in range(out.size):
        out[j] = decay[j] * (source[j] + mu_s[j] * (factor * wall[j] - inverse))


@numba.njit(**OPTIONS)
def emit(fan, k, room, n, inverse, halvings):
    """Optical depths from the first column on, and the sources of all columns; ``inverse`` is 1 / mu_a."""
    depth, step, one = room.depth, fan.step[k], np.float32(1)
    depth[:] = 0
    last, count = n + 2 * GHOST_COLUMNS - 1, loop_length(n)
    reciprocal = room.result[:count]
    for i in range(last + 1):
        start = fan.offset[k, i] - RAY_ROWS
        rays, growth = slice(start, start + count), fan.growth[k, i]
        tau, decay, mu_s, source = depth[rays], room.decay[i, rays], room.mu_s[i, rays], room.emission[i, rays]
        if 3 <= i <= last - 2:
            add_integral(room.mu_s, i - 1, step, depth, start, count)
        elif i > 0:
            before, half = room.mu_s[i - 1, rays], np.float32(0.5) * step
            for j in range(count):
                tau[j] += half * (before[j] + mu_s[j])
        exponential(tau, halvings, decay)
        for j in range(count):
            decay[j] *= growth
        for j in range(count):
            reciprocal[j] = one / decay[j]
        weigh(source, mu_s, fan.entry_growth[k, rays], one / growth, inverse, decay, room.forth[i, rays])
        weigh(source, mu_s, fan.exit_growth[k, rays], growth, inverse, reciprocal, room.back[i, rays])


@numba.njit(**OPTIONS)
def accumulate(fan, k, F, order, n, out):
    """Running integrals of F over the columns in ``order``, into rows of ``out``."""
    count = loop_length(n)
    out[order[0]] = 0
    for step in range(1, n):
        last, i = order[step - 1], order[step]
        start = fan.offset[k, last] - RESULT_ROWS
        out[last, start - 1], out[last, start + count] = 0, 0
        start = fan.offset[k, i] - RESULT_ROWS
        before, after = out[last, start : start + count], out[i, start : start + count]
        for j in range(count):
            after[j] = before[j]
        add_integral(F, min(last, i), fan.step[k], out[i], start, count)


@numba.njit(**OPTIONS)
def wall_values(fan, k, room, inwards, outwards):
    """Values of both running integrals where each ray meets the walls, by the trapezoidal rule from the last point."""
    step, half = fan.step[k], np.float32(0.5)
    first = min(fan.offset[k, 0], fan.offset[k, -1]) - RESULT_ROWS
    last = max(fan.offset[k, 0], fan.offset[k, -1]) + RESULT_ROWS + fan.offset.shape[1]
    for j in range(first, last):
        i, gap = fan.entry[k, j], fan.entry_gap[k, j]
        slope = room.forth[i - 1, j] - room.forth[i, j]
        inwards[j] = room.mu_s[i, j] - step * gap * (room.forth[i, j] + half * gap * slope)
        i, gap = fan.exit[k, j], fan.exit_gap[k, j]
        slope = room.back[i + 1, j] - room.back[i, j]
        outwards[j] = room.emission[i, j] - step * gap * (room.back[i, j] + half * gap * slope)


@numba.njit(**OPTIONS)
def unweigh(forth, enter, back, leave, decay, out):
    """Fluxes forth and back from their running integrals and the values of these at the walls."""
    one = np.float32(1)
    for j in range(out.size):
        out[j] = (forth[j] - enter[j]) * (one / decay[j])
    for j in range(out.size):
        out[j] += (back[j] - leave[j]) * decay[j]


@numba.njit(**OPTIONS)
def collect(fan, k, room, inwards, outwards, n, total):
    """Add the fluxes forth and back, shifted back from the rays to the grid, to ``total``."""
    width = loop_length(n)
    flux, back = room.depth[:width], room.result[: width - LANES // 2]
    for i in range(n):
        column, row = i + GHOST_COLUMNS, total[i]
        start = fan.offset[k, column] - RESULT_ROWS
        rays = slice(start, start + width)
        forth_sum, back_sum = room.mu_s[column, rays], room.emission[column, rays]
        unweigh(forth_sum, inwards[rays], back_sum, outwards[rays], room.decay[column, rays], flux)
        shift(flux, fan.from_rays[k, column], back, 0, 0, row.size)
        for j in range(row.size):
            row[j] += back[j]


@numba.njit(**OPTIONS)
def pad(field, rows):
    """Continue a field beyond the walls by point reflection about its extrapolated value there."""
    n = field.shape[0]
    g, h = GHOST_COLUMNS, GHOST_ROWS
    three, one = np.float32(3), np.float32(1)
    rows[g : g + n, h : h + n] = field
    for i in range(g, g + n):
        row = rows[i]
        low, high = three * row[h] - row[h + 1], three * row[h + n - 1] - row[h + n - 2]
        for j in range(h):
            row[h - 1 - j] = low - row[h + j] * one
            row[h + n + j] = high - row[h + n - 1 - j]
    for i in range(g):
        rows[g - 1 - i] = three * rows[g] - rows[g + 1] - rows[g + i]
        rows[g + n + i] = three * rows[g + n - 1] - rows[g + n - 2] - rows[g + n - 1 - i]


@numba.njit(**OPTIONS)
def transport(fan, mu_s, emission, inverse, halvings, room, total):
    """Add, over all families, the fluxes forth and back of int e^-tau mu_s (u - phi_0) to ``total``.

    ``mu_s`` and ``emission`` = mu_s u are padded; phi_0 = (1 - exp(-mu_a l)) / mu_a is the flux without scattering at
    the distance l from the wall.
    """
    n = total.shape[0]
    inwards, outwards = np.zeros(room.depth.size, np.float32), np.zeros(room.depth.size, np.float32)
    forwards = np.arange(GHOST_COLUMNS, n + GHOST_COLUMNS)
    for k in range(fan.step.size):
        onto_rays(fan, k, mu_s, emission, room, n)
        emit(fan, k, room, n, inverse, halvings)
        accumulate(fan, k, room.forth, forwards, n, room.mu_s)
        accumulate(fan, k, room.back, forwards[::-1], n, room.emission)
        wall_values(fan, k, room, inwards, outwards)
        collect(fan, k, room, inwards, outwards, n, total)


@numba.njit(nogil=True, **OPTIONS)
def sweep(fan, field, density, absorption, scale):
    """Sum over directions of the flux scattered by fields (batch, n, n), times ``scale``, for given densities u."""
    n = field.shape[1]
    shape = (n + 2 * GHOST_COLUMNS, GHOST_ROWS + loop_length(n) + TAPS)
    mu_s, emission = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    room, inverse = allocate(n, fan.entry.shape[1]), np.float32(1 / absorption)
    result = np.zeros(field.shape)
    for b in range(len(field)):
        halvings = 0
        while 0.25 * 2**halvings < 1.5 * field[b].max():
            halvings += 1
        for turned in (False, True):
            medium, u = (field[b].T, density[b].T) if turned else (field[b], density[b])
            pad(medium.astype(np.float32), mu_s)
            pad((medium * u).astype(np.float32), emission)
            total = np.zeros((n, loop_length(n) - LANES // 2), np.float32)
            transport(fan, mu_s, emission, inverse, halvings, room, total)
            rest = total[:, :n]
            result[b] += (rest.T if turned else rest) * scale
    return result
