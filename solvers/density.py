"""Densities of the lowest states of a Hamiltonian, and bounds of their error that orbitals alone can give."""

from dataclasses import dataclass

import numpy as np

ROUNDING = 8 * np.finfo(np.float64).eps
"""Error of an entry of a small projected Hamiltonian, relative to its scale."""


@dataclass(frozen=True)
class Spectrum:
    """What a solve knows about the spectrum around the Fermi level, each of shape (batch,).

    Attributes
    ----------
    occupied, virtual : float64
        Highest occupied and lowest empty Ritz value, epsilon_n and epsilon_(n+1).
    rest : float64
        Lower bound of the Hamiltonian on the complement of the block of Ritz vectors.
    scale : float64
        Size of the numbers that make up the projected Hamiltonian; its rounding error is relative to it.
    """

    occupied: np.ndarray
    virtual: np.ndarray
    rest: np.ndarray
    scale: np.ndarray


def normalise(density: np.ndarray, electrons: int, volume: float) -> np.ndarray:
    """Scale densities (batch, *shape) so that their integral over the grid is the number of electrons."""
    axes = tuple(range(1, density.ndim))
    return density * (electrons / (volume * density.mean(axis=axes, keepdims=True)))


def error_bound(
    density: np.ndarray, volume: float, spectrum: Spectrum, occupied: np.ndarray, virtual: np.ndarray
) -> np.ndarray:
    """Bound of the relative l2 error of a density that comes from a block of Ritz vectors.

    In the basis of the Ritz vectors and their complement the Hamiltonian is [[Theta, K^T], [K, H']] with K the
    residuals and H' >= ``rest``. The occupied space leaks into the complement by at most |K_o| / (rest - e_n), and
    mixes with the empty states of the block only through K_o^T (H' - e)^-1 K_v and through rounding, over the gap
    e_(n+1) - e_n. A change dPsi of orthonormal orbitals changes the density by at most 2 max(sqrt(rho)) |dPsi|.

    Parameters
    ----------
    density : (batch, *shape) float64
    volume : float
        Of the domain.
    spectrum : Spectrum
    occupied, virtual : (batch,) float64
        Frobenius norms of the residuals H psi - psi theta of the occupied and of the block's empty states.

    Returns
    -------
    (batch,) float64
        Infinite where the gap, or the distance to the rest of the spectrum, is not positive.
    """
    axes = tuple(range(1, density.ndim))
    gap = spectrum.virtual - spectrum.occupied
    distance = spectrum.rest - spectrum.occupied
    with np.errstate(divide="ignore", invalid="ignore"):
        leak = occupied / distance
        mixing = (occupied * virtual / distance + ROUNDING * spectrum.scale) / gap
        height = np.sqrt(density.max(axis=axes) / (volume * np.mean(density**2, axis=axes)))
        bound = 2 * height * (leak + mixing)
    return np.where((gap > 0) & (distance > 0) & np.isfinite(bound), bound, np.inf)
