"""Lowest states of -1/2 Laplacian + V on a periodic grid: dense in the low plane waves, Davidson in all of them."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg

from solvers.plane_waves import LowWaves, kinetic_energies, low_waves, product_waves
from solvers.spectral import apply_symbol, squared_wavenumbers

SMALLEST, LARGEST = 128, 4096
"""Plane waves of the dense part: from, to."""
STEPS = 60
"""Most Davidson steps."""
GOAL = 1e-12
"""Residual of the occupied states, relative to their distance from the rest of the spectrum, that ends a solve."""


@dataclass(frozen=True)
class Orbitals:
    """Lowest states of one Hamiltonian.

    Attributes
    ----------
    states : (block, *shape) float64
        Ritz vectors by rising energy, orthonormal in the sum over the grid.
    energies : (block,) float64
    residuals : (block,) float64
        Norms of H psi - epsilon psi in the full pseudo-spectral Hamiltonian.
    rest : float
        Lower bound of the spectrum above the block.
    steps : int
        Davidson steps.
    complete : bool
        Whether no lower state can have been missed.
    """

    states: np.ndarray
    energies: np.ndarray
    residuals: np.ndarray
    rest: float
    steps: int
    complete: bool


class PlaneWaveEigensolver:
    """Lowest states of the pseudo-spectral Hamiltonian on one grid, one potential at a time.

    The Hamiltonian is diagonalised in the plane waves below a cutoff; Davidson's method carries the result to the
    full grid. A dense solve of the whole matrix would lose digits: its norm is the largest kinetic energy. No state
    is missed where the cutoff plus min V lies above the states sought, by the min-max principle: the Hamiltonian on
    the other plane waves is larger.

    Parameters
    ----------
    shape : tuple of int
    length : float
        Period along each axis.
    """

    def __init__(self, shape: tuple[int, ...], length: float):
        self.shape = shape
        self.kinetic = 0.5 * squared_wavenumbers(shape, length)
        self.energies = kinetic_energies(shape, length)
        self.low = lru_cache(maxsize=2)(self._low)

    def _low(self, at_least: int) -> tuple[LowWaves, np.ndarray]:
        waves = low_waves(self.energies, at_least)
        basis = product_waves(self.shape, waves.index).reshape(len(waves.index), -1)
        return waves, basis / math.sqrt(self.energies.size)

    def solve(self, potential: np.ndarray, electrons: int) -> Orbitals:
        """Find the occupied states and the few empty ones up to the next wide gap.

        Parameters
        ----------
        potential : (*shape) float64
        electrons : int
            Number of occupied states, fewer than the grid has points.
        """
        ceiling = np.sort(self.energies, axis=None)[min(_horizon(electrons), self.energies.size) - 1]
        needed = np.count_nonzero(self.energies <= ceiling + np.ptp(potential))
        waves, basis = self.low(min(max(SMALLEST, 2 ** math.ceil(math.log2(needed))), LARGEST))
        hamiltonian = (basis * potential.ravel()) @ basis.T
        hamiltonian[np.diag_indices_from(hamiltonian)] += waves.energy
        dense = scipy.linalg.eigh(hamiltonian, driver="evd")
        gaps = np.diff(dense[0][electrons : _horizon(electrons)])
        block = electrons + 1 + int(np.argmax(gaps)) if len(gaps) else electrons + 1
        davidson = _Davidson(self.kinetic, potential, waves, basis, dense)
        energies, vectors, norms, steps = davidson.run(electrons, min(block + 1, len(dense[0])))
        rest = energies[block] - norms[block] if block < len(energies) else math.inf
        complete = waves.above + potential.min() > energies[-1]
        states = vectors[:block].reshape(-1, *self.shape)
        return Orbitals(states, energies[:block], norms[:block], rest, steps, bool(complete))


def _horizon(electrons: int) -> int:
    """Number of states among which the block may end."""
    return 2 * electrons + 8


class _Davidson:
    """Davidson's method for the full Hamiltonian, started from and preconditioned by the dense solution."""

    def __init__(self, kinetic, potential, waves, basis, dense):
        self.kinetic, self.potential, self.basis = kinetic, potential, basis
        self.levels, self.dense = dense
        self.high = np.where(kinetic > waves.cutoff, kinetic + potential.mean(), np.inf)

    def run(self, electrons: int, count: int):
        """Iterate ``count`` states until the occupied ones have converged: energies, vectors, residual norms, steps.

        The start holds twice as many, lest a state of another symmetry, orthogonal to all others, be left out.
        """
        space = self.dense[:, : 2 * count].T @ self.basis
        image = self._apply(space)
        step = 0
        while True:
            energies, mix = scipy.linalg.eigh(space @ image.T, subset_by_index=[0, count - 1])
            vectors, images = mix.T @ space, mix.T @ image
            residual = images - energies[:, None] * vectors
            norms = np.linalg.norm(residual, axis=1)
            wanted = norms > self._goal(energies, electrons)
            full = len(space) + np.count_nonzero(wanted) > self.potential.size
            if full or step == STEPS or not wanted[:electrons].any():
                return energies, vectors, norms, step
            if len(space) > 8 * count:
                space, image = vectors, images
            more = _orthonormal(self._correct(residual[wanted], energies[wanted]), space)
            space, image = np.concatenate([space, more]), np.concatenate([image, self._apply(more)])
            step += 1

    def _goal(self, energies: np.ndarray, electrons: int) -> float:
        rounding = np.finfo(np.float64).eps * (self.kinetic.max() + np.abs(self.potential).max())
        return max(GOAL * (energies[-1] - energies[electrons - 1]), 8 * rounding)

    def _apply(self, vectors: np.ndarray) -> np.ndarray:
        fields = vectors.reshape(-1, *self.potential.shape)
        return (apply_symbol(self.kinetic, fields) + self.potential * fields).reshape(vectors.shape)

    def _correct(self, residual: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """Apply the inverse of H - epsilon: exact in the dense part, kinetic above it; near-poles are damped."""
        distance = self.levels - energies[:, None]
        distance[np.abs(distance) < 0.1] = 0.1
        low = (((residual @ self.basis.T) @ self.dense) / distance) @ self.dense.T @ self.basis
        high = np.maximum(self.high - energies.reshape(-1, *(1,) * self.potential.ndim), 1.0)
        fields = residual.reshape(-1, *self.potential.shape)
        return low + apply_symbol(1 / high, fields).reshape(residual.shape)


def _orthonormal(vectors: np.ndarray, space: np.ndarray) -> np.ndarray:
    """Make rows orthonormal to each other and to those of ``space``; twice, since once is not enough."""
    for _ in range(2):
        vectors = vectors - (vectors @ space.T) @ space
        vectors = np.linalg.qr(vectors.T)[0].T
    return vectors
