"""The best linear map between fields, in closed form: the line to beat, or the start that a network improves on.

Where the map commutes with translations, u = c + h * v by least squares mode by mode in Fourier space; elsewhere
u = c + A (v - mean), by ridge regression, A kept as two thin factors. Fitted in numpy; a map serves numpy arrays and
torch tensors alike, whichever it is made of.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Union

import numpy as np

if TYPE_CHECKING:
    import torch

CHUNK = 1024
"""Samples worked on at once."""
REGULARISATIONS = 10.0 ** np.arange(-9, 1)
"""Ridge parameters tried, relative to the mean eigenvalue of the Gram matrix."""
SILENT = 1e-10
"""Power of a Fourier mode, over the strongest one's, that counts as rounding of float32 fields."""
DROPPED = 1e-4
"""Mean square of what low rank leaves out, over the mean square that the map leaves of the validation set."""

Pair = tuple[np.ndarray, np.ndarray]
Array = Union[np.ndarray, "torch.Tensor"]


@dataclass(frozen=True)
class LinearMap:
    """The affine map u = output_mean + L (v - input_mean); a subclass says what L is.

    Attributes
    ----------
    input_mean, output_mean : array
        Numbers or fields, in physical units.
    """

    input_mean: Array
    output_mean: Array

    def __call__(self, field: Array) -> Array:
        """Apply to fields of shape (..., *shape) in physical units."""
        return self.output_mean + self._product(field - self.input_mean)

    def _product(self, field: Array) -> Array:
        raise NotImplementedError

    def each(self, change: Callable[[Array], Array]) -> "LinearMap":
        """Return a copy with every array changed: to a tensor, to a device."""
        return replace(self, **{name: change(array) for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, Array]:
        """Name all arrays, as they stand in files."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def parameters(self) -> int:
        """Numbers it consists of."""
        return sum(math.prod(array.shape) for array in self.arrays().values())


@dataclass(frozen=True)
class InvariantMap(LinearMap):
    """Periodic convolution with a kernel of shape (*shape)."""

    kernel: Array

    def _product(self, field: Array) -> Array:
        fft, axes = _fft(field), tuple(range(-self.kernel.ndim, 0))
        modes = fft.rfftn(field, None, axes) * fft.rfftn(self.kernel)
        return fft.irfftn(modes, self.kernel.shape, axes)


@dataclass(frozen=True)
class LowRankMap(LinearMap):
    """Matrix ``encode @ decode``, (points, rank) times (rank, points), applied to fields as rows."""

    encode: Array
    decode: Array

    def _product(self, field: Array) -> Array:
        rows = field.reshape(-1, len(self.encode))
        return (rows @ self.encode @ self.decode).reshape(field.shape)


def _fft(field: Array):
    if isinstance(field, np.ndarray):
        return np.fft
    import torch

    return torch.fft


def from_arrays(arrays: dict[str, Array]) -> LinearMap:
    """Inverse of :meth:`LinearMap.arrays`."""
    return (InvariantMap if "kernel" in arrays else LowRankMap)(**arrays)


def fit(train: Pair, validation: Pair, invariant: bool) -> LinearMap:
    """Fit the best linear map to fields, input and output of shape (samples, *shape), in float64.

    Parameters
    ----------
    train, validation : (input, output)
        Ridge regression takes its strength, and its rank, from the validation set.
    invariant : bool
        Whether the map commutes with translations of a periodic grid.
    """
    return fit_invariant(*train) if invariant else fit_ridge(train, validation)


def chunks(inputs: np.ndarray, outputs: np.ndarray) -> Iterator[Pair]:
    """Give input and output in float64, some samples at a time."""
    for start in range(0, len(inputs), CHUNK):
        rows = slice(start, start + CHUNK)
        yield inputs[rows].astype(np.float64), outputs[rows].astype(np.float64)


def fit_invariant(inputs: np.ndarray, outputs: np.ndarray) -> InvariantMap:
    """Fit u = c + h * v, the best affine map that commutes with translations, by least squares mode by mode."""
    axes = tuple(range(1, inputs.ndim))
    input_mean, output_mean = (field.mean(dtype=np.float64) for field in (inputs, outputs))
    power, cross = 0.0, 0.0
    for some_inputs, some_outputs in chunks(inputs, outputs):
        v, u = np.fft.rfftn(some_inputs - input_mean, axes=axes), np.fft.rfftn(some_outputs - output_mean, axes=axes)
        power = power + np.square(np.abs(v)).sum(axis=0)
        cross = cross + (v.conj() * u).sum(axis=0)
    symbol = np.divide(cross, power, out=np.zeros_like(cross), where=power > SILENT * power.max())
    kernel = np.fft.irfftn(symbol, s=inputs.shape[1:], axes=range(len(axes)))
    return InvariantMap(np.asarray(input_mean), np.asarray(output_mean), kernel)


def fit_ridge(train: Pair, validation: Pair) -> LowRankMap:
    """Fit the best affine map with ridge regularisation: strength and rank by the validation set."""
    means = [field.mean(axis=0, dtype=np.float64) for field in train]
    (v, u), (held_v, held_u) = ([_rows(f, mean) for f, mean in zip(p, means, strict=True)] for p in (train, validation))
    norms = np.linalg.norm(held_u + means[1].ravel(), axis=1)
    best, least = None, np.inf
    for matrix in ridge_matrices(v, u):
        rest = np.linalg.norm(held_v @ matrix - held_u, axis=1)
        if (error := np.mean(rest / norms)) < least:
            best, least, mean_square = matrix, error, np.mean(np.square(rest))
    return LowRankMap(*means, *low_rank(best, v, DROPPED * mean_square))


def _rows(fields_: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return fields_.reshape(len(fields_), -1) - mean.ravel()


def ridge_matrices(v: np.ndarray, u: np.ndarray) -> Iterator[np.ndarray]:
    """Solve min |v A - u|² + lambda |A|² for every lambda of REGULARISATIONS, by the smaller Gram matrix."""
    from scipy.linalg import solve

    wide = v.shape[0] < v.shape[1]
    gram = v @ v.T if wide else v.T @ v
    right = u if wide else v.T @ u
    scale = np.trace(gram) / len(gram)
    for regularisation in REGULARISATIONS:
        shifted = gram + regularisation * scale * np.eye(len(gram))
        solution = solve(shifted, right, assume_a="pos")
        yield v.T @ solution if wide else solution


def low_rank(matrix: np.ndarray, v: np.ndarray, dropped: float) -> tuple[np.ndarray, np.ndarray]:
    """Factors of a matrix on the leading directions of its outputs v A: mean square of the rest at most ``dropped``."""
    outputs = v @ matrix
    energies, directions = np.linalg.eigh(outputs.T @ outputs / len(v))
    rest = np.cumsum(energies)
    kept = directions[:, np.searchsorted(rest, dropped) :]
    return matrix @ kept, np.ascontiguousarray(kept.T)
