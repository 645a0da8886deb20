"""The Kohn-Sham map from a potential to the density of its lowest states, (4.13) to (4.15) of the paper."""

from typing import ClassVar

import numpy as np

from solvers.contraction import Contraction
from solvers.density import ROUNDING, error_bound, normalise
from solvers.eigensolver import PlaneWaveEigensolver
from solvers.problem import Attempt, Problem, Quantity


class KohnSham(Problem):
    """Density rho = sum of |psi_i|^2 over the lowest n_e states of -1/2 Laplacian + V on the torus [-1, 1]^d, (4.13).

    Pseudo-spectral on the grid x_j = -1 + 2 j / N, the potential fixed (no self-consistency); the integral of rho
    over the grid is n_e. The residual of a sample is an upper bound of the relative l2 error of rho, from the
    residuals of the orbitals and the gaps of the spectrum. Where the gap above the occupied states vanishes, rho is
    not defined: such a sample raises `ConvergenceError`.

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis; one, two or three axes.
    n_electrons : int
        Number of occupied states, at least 1 and fewer than the grid has points.
    """

    name: ClassVar[str] = "kohn_sham"
    title: ClassVar[str] = "Kohn-Sham densities of random potential wells"
    equation: ClassVar[str] = (
        "(-1/2 Laplacian + V) psi_i = epsilon_i psi_i on [-1, 1]^d, periodic, rho = sum of |psi_i|^2 over i <= n_e"
    )
    input: ClassVar[Quantity] = Quantity("potential", "V", "external potential")
    output: ClassVar[Quantity] = Quantity("density", "rho", "electron density")
    periodic: ClassVar[bool] = True
    lower: ClassVar[float] = -1.0
    length: ClassVar[float] = 2.0
    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    robust: ClassVar[str] = "eigensolver"
    tolerance: ClassVar[float] = 1e-6
    agreement: float = 2e-6
    hint: ClassVar[str] = "the density is not defined where the gap above the n_electrons lowest states vanishes"

    def __init__(self, shape: tuple[int, ...], n_electrons: int = 2):
        super().__init__(shape)
        points = int(np.prod(self.shape))
        whole = isinstance(n_electrons, (int, np.integer)) and not isinstance(n_electrons, bool)
        if not whole or not 1 <= n_electrons < points:
            raise ValueError(f"n_electrons: {n_electrons!r} given, an integer from 1 to {points - 1} allowed")
        self.n_electrons = int(n_electrons)
        self.block_size = 256 if len(self.shape) == 1 else 64
        self.volume = self.length ** len(self.shape)
        self._contraction = Contraction(self.shape, self.length, self.n_electrons, self.tolerance)
        self._eigensolver = PlaneWaveEigensolver(self.shape, self.length)

    @property
    def parameters(self) -> dict:
        """Coefficients of the equation."""
        return {"n_electrons": self.n_electrons}

    @property
    def methods(self):
        """``"fast"`` and ``"eigensolver"``."""
        return {"fast": self.contraction, "eigensolver": self.eigensolver}

    def contraction(self, field: np.ndarray) -> Attempt:
        """Contraction onto the lowest plane waves, for weak potentials; batches of samples by matrix products."""
        density, steps, bound = self._contraction.solve(field)
        return Attempt(density, steps, np.isfinite(bound), bound)

    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Relative l2 distance of densities to those of the eigensolver.

        A density alone does not tell the error of its orbitals, so this solves each sample again; `solve` takes its
        residuals from the orbitals instead.
        """
        exact = self.eigensolver(field).values
        axes = tuple(range(1, field.ndim))
        return np.sqrt(np.sum((values - exact) ** 2, axis=axes) / np.sum(exact**2, axis=axes))

    def eigensolver(self, field: np.ndarray) -> Attempt:
        """Standard eigensolver: dense in the low plane waves, then Davidson's method; sample by sample."""
        density = np.empty_like(field)
        leak, coupling, gap = np.empty((3, len(field)))
        iterations = np.empty(len(field), dtype=np.int64)
        reliable = np.empty(len(field), dtype=bool)
        count = self.n_electrons
        for row, potential in enumerate(field):
            orbitals = self._eigensolver.solve(potential, count)
            density[row] = np.sum(orbitals.states[:count] ** 2, axis=0)
            energies, norms = orbitals.energies, orbitals.residuals
            distance = orbitals.rest - energies[count - 1]
            leak[row] = np.linalg.norm(norms[:count]) / distance if distance > 0 else np.inf
            scale = np.abs(potential).max() + np.ptp(energies)
            coupling[row] = leak[row] * np.linalg.norm(norms[count:]) + ROUNDING * scale
            gap[row] = energies[count] - energies[count - 1]
            iterations[row], reliable[row] = 1 + orbitals.steps, orbitals.complete
        density = normalise(density, count, self.volume)
        bound = error_bound(density, self.volume, leak, coupling, gap)
        return Attempt(density, iterations, reliable, bound)


def problem(shape: tuple[int, ...], **parameters) -> KohnSham:
    """Make the problem; see `KohnSham`."""
    unknown = sorted(set(parameters) - {"n_electrons"})
    if unknown:
        raise ValueError(f"{unknown[0]}: not a parameter of kohn_sham, n_electrons allowed")
    return KohnSham(shape, **parameters)
