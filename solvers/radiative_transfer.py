"""Steady radiative transfer in the homogeneous scattering regime, (4.5) to (4.10) of the paper: mu_s -> u."""

from solvers.rte_base import RadiativeTransfer
from solvers.rte_plane import Plane
from solvers.rte_slab import Slab


def problem(shape: tuple[int, ...], **parameters) -> RadiativeTransfer:
    """Make the slab problem (4.9) for a shape (N,), the plane problem (4.6) for (N, N)."""
    return (Slab if len(shape) == 1 else Plane)(shape, **parameters)
