"""Real plane waves on uniform periodic grids: 1, cos and sin, orthonormal in the mean over the grid."""

import math
from dataclasses import dataclass

import numpy as np


def harmonics(count: int) -> np.ndarray:
    """Harmonic numbers 0, 1, 1, 2, 2, ... of the ``count`` real plane waves that a grid of ``count`` points carries."""
    return (np.arange(count) + 1) // 2


def plane_waves(points: int, count: int) -> np.ndarray:
    """First ``count`` real plane waves on ``points`` points, (count, points), mean of squares 1 and products 0.

    Rows are 1, sqrt(2) cos(2 pi x), sqrt(2) sin(2 pi x), sqrt(2) cos(4 pi x), ...; where the number of points is even
    the last one a grid carries is cos(pi points x), without the factor.
    """
    phase = 2 * math.pi * (np.outer(harmonics(count), np.arange(points)) % points) / points
    waves = math.sqrt(2) * np.where(np.arange(count)[:, None] % 2 == 1, np.cos(phase), np.sin(phase))
    waves[0] = 1.0
    if points % 2 == 0 and count == points:
        waves[-1] /= math.sqrt(2)
    return waves


def kinetic_energies(counts: tuple[int, ...], length: float) -> np.ndarray:
    """Symbol |k|^2 / 2 of -1/2 Laplacian in products of plane waves, an array of shape ``counts``."""
    energies = np.zeros(counts)
    for axis, count in enumerate(counts):
        energy = 0.5 * (2 * math.pi / length * harmonics(count)) ** 2
        energies += energy.reshape((-1,) + (1,) * (len(counts) - 1 - axis))
    return energies


@dataclass(frozen=True)
class LowWaves:
    """The products of plane waves up to a kinetic energy, whole shells, by rising energy.

    Attributes
    ----------
    index : (m,) int64
        Flat index into an array of shape ``counts``.
    energy : (m,) float64
        Their kinetic energies.
    cutoff : float
        Energies up to it are in; the next one is ``above`` (infinite where there is none).
    above : float
    """

    index: np.ndarray
    energy: np.ndarray
    cutoff: float
    above: float


def low_waves(energies: np.ndarray, at_least: int) -> LowWaves:
    """Take the lowest plane waves in whole shells: at least this many, or all there are."""
    order = np.argsort(energies, axis=None, kind="stable")
    rising = energies.ravel()[order]
    cutoff = rising[min(at_least, rising.size) - 1] * (1 + 1e-9)
    count = int(np.searchsorted(rising, cutoff, side="right"))
    above = rising[count] if count < rising.size else math.inf
    return LowWaves(order[:count], rising[:count], cutoff, above)


def product_waves(shape: tuple[int, ...], index: np.ndarray) -> np.ndarray:
    """Products of plane waves on a grid, (m, *shape), for flat indices into an array of that shape."""
    product = np.ones((len(index),) + (1,) * len(shape))
    for axis, wave in enumerate(np.unravel_index(index, shape)):
        rows = plane_waves(shape[axis], int(wave.max()) + 1)[wave]
        product = product * rows.reshape((len(index),) + (1,) * axis + (-1,) + (1,) * (len(shape) - 1 - axis))
    return product


def band_limit(points: int, target: int, band: int) -> np.ndarray | None:
    """Matrix (points, target) that keeps harmonics up to ``band`` and evaluates them on another grid.

    None, the identity, where the two grids are one.
    """
    if points == target:
        return None
    count = min(2 * band + 1, points, target)
    return plane_waves(points, count).T @ plane_waves(target, count) / points


def transform(values: np.ndarray, matrices: list[np.ndarray | None], last_first: bool) -> np.ndarray:
    """Apply a matrix (n_a, m_a), or None for the identity, along each of the trailing axes of (..., n_1, ..., n_d).

    It is cheapest to take the last axis first where sizes shrink, and last where they grow: it is one matrix product
    for the whole batch.
    """
    offset = values.ndim - len(matrices)
    order = range(len(matrices))
    for axis in reversed(order) if last_first else order:
        matrix = matrices[axis]
        if matrix is None:
            continue
        lead, after = values.shape[: offset + axis], values.shape[offset + axis + 1 :]
        if after:
            values = np.matmul(matrix.T, values.reshape(math.prod(lead), len(matrix), -1))
        else:
            values = values.reshape(-1, len(matrix)) @ matrix
        values = values.reshape(*lead, matrix.shape[1], *after)
    return values
