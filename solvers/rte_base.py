"""What radiative transfer in the slab and in the plane share: the map mu_s -> u, its domain and coefficients."""

from typing import ClassVar

import numpy as np

from solvers.problem import Problem, Quantity

SPHERE_MEASURES = ("4pi", "2pi")
"""What the integral over directions is divided by: 4 pi as printed in (4.5) and (4.7), or the circle's own 2 pi."""


class RadiativeTransfer(Problem):
    """What the slab and the plane share: the unit interval or square, vacuum outside, the source f = 1.

    The map takes the scattering coefficient mu_s, sampled at the cell centres (j + 1/2)/N, to the mean density u
    there; the total absorption coefficient is mu_t = mu_s + mu_a with a constant mu_a.

    Parameters
    ----------
    shape : tuple of int
        Cells along each axis.
    absorption : float
        The absorption coefficient mu_a, positive; 0.2 in the paper.
    sphere_measure : {"4pi", "2pi"}
        What the integral over directions is divided by. "2pi", for the plane only, conserves particles.

    Raises
    ------
    ValueError
        If a parameter is not allowed.
    """

    name = "rte"
    input = Quantity("mu_s", "μ_s", "scattering coefficient")
    output = Quantity("u", "u", "mean density of photons")
    periodic = False
    lower = 0.0
    length = 1.0
    dimensions = (1, 2)
    smallest: ClassVar[int]
    """Fewest cells along an axis."""

    def __init__(self, shape: tuple[int, ...], absorption: float = 0.2, sphere_measure: str = "4pi"):
        super().__init__(shape)
        if min(self.shape) < self.smallest:
            raise ValueError(f"shape: {self.shape} given, at least {self.smallest} cells along an axis are needed")
        if isinstance(absorption, bool) or not (np.isscalar(absorption) and np.isreal(absorption)):
            raise ValueError(f"absorption: {absorption!r} given, a positive number is allowed")
        if not (np.isfinite(absorption) and absorption > 0):
            raise ValueError(f"absorption: {absorption!r} given, a positive number is allowed")
        if sphere_measure not in SPHERE_MEASURES:
            allowed = " or ".join(map(repr, SPHERE_MEASURES))
            raise ValueError(f"sphere_measure: {sphere_measure!r} given, {allowed} allowed")
        self.absorption = float(absorption)
        self.sphere_measure = sphere_measure

    @property
    def parameters(self) -> dict:
        """Coefficients of the equation."""
        return {"absorption": self.absorption, "sphere_measure": self.sphere_measure}

    def check_field(self, field: np.ndarray) -> np.ndarray:
        """Return the field as float64, or raise a one-line ValueError.

        mu_s is not negative, nor so strong that a cell is more than a mean free path wide: the grid would be too
        coarse for every method.
        """
        field = super().check_field(field)
        if not field.size:
            return field
        cells, lowest, highest = min(self.shape), field.min(), field.max()
        if lowest < 0:
            low = int(np.unravel_index(field.argmin(), field.shape)[0])
            raise ValueError(f"field: negative value {lowest:.3g} in sample {low}, mu_s >= 0 expected")
        if highest > cells:
            high = int(np.unravel_index(field.argmax(), field.shape)[0])
            raise ValueError(
                f"field: mu_s = {highest:.4g} in sample {high} given, too strong for {cells} cells along an axis; "
                f"at most {cells} allowed"
            )
        return field
