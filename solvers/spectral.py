"""Fourier spectral operators on uniform periodic grids, applied to batches of real fields."""

import math
from collections.abc import Sequence

import numpy as np
import scipy.fft


def squared_wavenumbers(shape: tuple[int, ...], length: float) -> np.ndarray:
    """Symbol |k|^2 of -Laplacian for `scipy.fft.rfftn`, of shape (*shape[:-1], shape[-1] // 2 + 1).

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis.
    length : float
        Period along each axis.
    """
    symbol = np.zeros((1,) * len(shape))
    for axis, count in enumerate(shape):
        frequency = scipy.fft.rfftfreq if axis == len(shape) - 1 else scipy.fft.fftfreq
        k = 2 * math.pi / length * frequency(count, 1 / count)
        symbol = symbol + (k**2).reshape((-1,) + (1,) * (len(shape) - 1 - axis))
    return symbol


def apply_symbol(symbol: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Apply the operator with this Fourier symbol to real fields.

    Parameters
    ----------
    symbol : (batch or nothing, *half spectrum) array
        As `squared_wavenumbers` lays it out.
    values : (batch, *shape) float64

    Returns
    -------
    (batch, *shape) float64
    """
    axes = tuple(range(1, values.ndim))
    spectrum = scipy.fft.rfftn(values, axes=axes)
    spectrum *= symbol
    return scipy.fft.irfftn(spectrum, s=values.shape[1:], axes=axes, overwrite_x=True)


def fourier_basis(points: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Real Fourier functions 1, sqrt(2) cos kx, sqrt(2) sin kx, ... of the unit period on a uniform grid.

    Columns are orthonormal in the mean over any grid of at least ``count`` points, an even count excepted: its last
    column is cos kx, the function that alternates on the grid of ``count`` points, and normalised there.

    Parameters
    ----------
    points : int
        Grid points.
    count : int
        Functions, at most ``points``.

    Returns
    -------
    basis : (points, count) float64
    symbol : (count,) float64
        Eigenvalues k^2 of -Laplacian.
    """
    order = (np.arange(count) + 1) // 2
    phase = 2 * math.pi / points * (np.outer(np.arange(points), order) % points)
    basis = math.sqrt(2) * np.where(np.arange(count) % 2 == 0, np.sin(phase), np.cos(phase))
    basis[:, 0] = 1.0
    if count % 2 == 0:
        basis[:, -1] /= math.sqrt(2)
    return basis, (2 * math.pi * order) ** 2


def apply_along_axes(matrices: Sequence[np.ndarray], values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Apply a matrix along every axis of the grid.

    Parameters
    ----------
    matrices : sequence of (m_a, n_a) arrays
        One for each axis a.
    values : (batch, n_1, n_2, ...) array
    out : (batch, m_1, m_2, ...) array, optional
        Where to put the result; contiguous.

    Returns
    -------
    (batch, m_1, m_2, ...) array
    """
    last = len(matrices)
    values = np.matmul(values, matrices[-1].T, out=out if last == 1 else None)
    for axis in range(last - 1, 0, -1):
        shape, matrix = values.shape, matrices[axis - 1]
        before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        result = None if out is None or axis > 1 else out.reshape(before, len(matrix), after)
        values = np.matmul(matrix, values.reshape(before, shape[axis], after), out=result)
        values = values.reshape(*shape[:axis], len(matrix), *shape[axis + 1 :])
    return values
