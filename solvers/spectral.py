"""Fourier spectral operators on uniform periodic grids, applied to batches of real fields."""

import math

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
