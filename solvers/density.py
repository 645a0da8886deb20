"""Densities of the lowest states of a Hamiltonian, and a bound of their error that only the orbitals can give."""

import numpy as np

ROUNDING = 8 * np.finfo(np.float64).eps
"""Error of an entry of a small projected Hamiltonian, relative to the size of the energies that make it up."""


def normalise(density: np.ndarray, electrons: int, volume: float) -> np.ndarray:
    """Scale densities (batch, *shape) so that their integral over the grid is the number of electrons."""
    axes = tuple(range(1, density.ndim))
    return density * (electrons / (volume * density.mean(axis=axes, keepdims=True)))


def error_bound(
    density: np.ndarray, volume: float, leak: np.ndarray, coupling: np.ndarray, gap: np.ndarray
) -> np.ndarray:
    """Bound of the relative l2 error of a density that comes from a block of Ritz vectors.

    In the basis of the Ritz vectors and their complement the Hamiltonian is [[Theta, K^T], [K, H']], K the residuals
    of the Ritz vectors. The occupied space leaks into the complement by (H' - epsilon)^-1 K_o, and mixes with the
    empty states of the block through K_o^T (H' - epsilon)^-1 K_v and rounding, over the gap. Orbitals that change by
    dPsi change the density by at most 2 max(sqrt(rho)) |dPsi|.

    Parameters
    ----------
    density : (batch, *shape) float64
    volume : float
        Of the domain.
    leak : (batch,) float64
        Bound of |(H' - epsilon)^-1 K_o|.
    coupling : (batch,) float64
        Bound of the error of the projected Hamiltonian between occupied and empty states, an energy.
    gap : (batch,) float64
        Lowest empty minus highest occupied energy.

    Returns
    -------
    (batch,) float64
        Infinite where there is no gap or a bound is not finite.
    """
    axes = tuple(range(1, density.ndim))
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.sqrt(density.max(axis=axes) / (volume * np.mean(density**2, axis=axes)))
        bound = 2 * height * (leak + coupling / gap)
    return np.where((gap > 0) & np.isfinite(bound), bound, np.inf)
