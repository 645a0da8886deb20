"""Radiative transfer in the unit square, (4.6) and (4.7) of the paper.

With f = 1 and a constant mu_a the density splits into u = u_0 + w. u_0, the density for mu_s = 0, is the same for
every sample and known to rounding. The rest is the mean over directions of the flux

    chi(x, theta) = int_0^l e^-tau mu_s (u - phi_0) dr,   phi_0 = (1 - exp(-mu_a (l - r))) / mu_a,

along the ray that reaches x from the wall at distance l, where phi_0 is the flux without scattering. chi is small and
smooth in the direction but for kinks where a ray starts in a corner, so that equally spaced directions do.
"""

from functools import cached_property

import numpy as np

from solvers import rte_dense, rte_rays
from solvers.problem import Attempt
from solvers.rte_base import RadiativeTransfer

DIRECTIONS = {"4pi": 64, "2pi": 128}
"""Directions of the sweeps; a multiple of 8 keeps the symmetries of the square.

Where particles are conserved, gain and loss by scattering almost cancel in u - u_0, which asks for more of them.
"""
START_DIRECTIONS = 24
"""Directions of the first sweep, whose result the others correct."""
SWEEPS = 40
"""Most sweeps of a sample before it is left to the dense method."""
ACCURACY = 1e-6
"""Estimated distance from the fixed point, relative to u, at which the sweeps end."""
ROUGHNESS = 0.1
"""Largest part of a field that cubic interpolation from every other point may miss."""
DEEPEST = 30.0
"""Largest optical depth across the square for the sweeps, which are in single precision."""


def unscattered(n: int, absorption: float, nodes: int = 64) -> np.ndarray:
    """Mean flux over all directions where nothing scatters, (1 - <exp(-mu_a l)>) / mu_a, at the cell centres.

    Each of the eight triangles between x, a wall's foot and a corner is a smooth integral in v = asinh(tan psi), psi
    the angle from the wall's normal: l = d cosh v and dpsi = dv / cosh v.
    """
    point, weight = np.polynomial.legendre.leggauss(nodes)
    near = (np.arange(n) + 0.5) / n
    far = 1 - near
    mean = np.zeros((n, n))
    for distance in (near, far):
        for side in (near, far):
            top = np.arcsinh(side / distance[:, None])
            stretch = np.cosh(top[..., None] * (point + 1) / 2)
            loss = -np.expm1(-absorption * distance[:, None, None] * stretch) / stretch
            triangle = top / 2 * (loss @ weight)
            mean += triangle + triangle.T
    return mean / (2 * np.pi * absorption)


def roughness(field: np.ndarray) -> np.ndarray:
    """Largest distance of each sample from cubic interpolation of its neighbours, relative to its largest value."""
    worst = np.zeros(len(field))
    for axis in (1, 2):
        v = np.moveaxis(field, axis, 1)
        missed = v[:, 3:-3] - (9 * (v[:, 2:-4] + v[:, 4:-2]) - (v[:, :-6] + v[:, 6:])) / 16
        worst = np.maximum(worst, np.abs(missed).max(axis=(1, 2)))
    return worst / np.maximum(field.max(axis=(1, 2)), np.finfo(float).tiny)


class Plane(RadiativeTransfer):
    """Radiative transfer in the unit square; ``shape`` is (N, N).

    ``"fast"`` sweeps along rays in equally spaced directions and iterates with Anderson's acceleration; it leaves a
    field that is rough on the grid or optically deep to ``"dense"``, which assembles the integral operator of all
    N^2 cells, 16 N^4 bytes with its factors, and solves directly, one sample after the other.
    """

    title = "Radiative transfer in the unit square"
    equation = (
        "u = (I - K mu_s)^-1 K f, K(x, y) = exp(-|x - y| int_0^1 mu_t) / (S |x - y|), S the sphere measure, "
        "mu_t = mu_s + mu_a, f = 1, 0 < x_1, x_2 < 1"
    )
    dimensions = (2,)
    robust = "dense"
    tolerance = 1e-3
    smallest = 16
    samples_checked = 1
    block_size = 16

    def __init__(self, shape: tuple[int, ...], absorption: float = 0.2, sphere_measure: str = "4pi"):
        super().__init__(shape, absorption, sphere_measure)
        n = self.shape[0]
        if self.shape != (n, n):
            raise ValueError(f"shape: {self.shape} given, the same number of cells along both axes is allowed")
        self.share = 1.0 if sphere_measure == "2pi" else 0.5
        self.agreement = 5e-4 if sphere_measure == "2pi" else 5e-5

    @cached_property
    def unscattered(self) -> np.ndarray:
        """The density u_0 without scattering, (N, N), the same for every sample."""
        return self.share * unscattered(self.shape[0], self.absorption)

    @cached_property
    def _start(self) -> rte_rays.Fan:
        return self._rays(START_DIRECTIONS)

    @cached_property
    def _fan(self) -> rte_rays.Fan:
        return self._rays(DIRECTIONS[self.sphere_measure])

    @property
    def methods(self) -> dict:
        """``"fast"`` and ``"dense"``."""
        return {"fast": self._fast, "dense": self._dense}

    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Relative l2 norm of u - K(mu_s u + f) at the cell centres, by one more sweep in all directions."""
        defect = values - self.unscattered - self._sweep(field, values)
        return np.linalg.norm(defect, axis=(1, 2)) / np.linalg.norm(values, axis=(1, 2))

    def _rays(self, directions: int) -> rte_rays.Fan:
        angles = (np.arange(directions // 4) + 0.5) * 2 * np.pi / directions - np.pi / 4
        return rte_rays.fan(self.shape[0], np.tan(angles), self.absorption)

    def _sweep(self, field: np.ndarray, density: np.ndarray, fan: rte_rays.Fan | None = None) -> np.ndarray:
        """The rest w = u - u_0 that the densities (batch, N, N) give rise to."""
        fan = fan or self._fan
        return rte_rays.sweep(fan, field, density, self.absorption, self.share / (4 * len(fan.step)))

    def _fast(self, field: np.ndarray) -> Attempt:
        depth = np.maximum(field.mean(axis=1).max(axis=1), field.mean(axis=2).max(axis=1))
        able = (roughness(field) <= ROUGHNESS) & (depth + self.absorption <= DEEPEST)
        values = np.broadcast_to(self.unscattered, field.shape).copy()
        iterations = np.zeros(len(field), dtype=np.int64)
        rows = np.flatnonzero(able)
        if rows.size:
            rest, iterations[rows], able[rows] = self._iterate(field[rows], -np.expm1(-depth[rows]))
            values[rows] += rest
        return Attempt(values, iterations, able)

    def _iterate(self, field: np.ndarray, scattered: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fixed point of the sweep for w, by Anderson's acceleration with full memory; sweeps taken, and success.

        ``scattered``, the largest part of a parallel beam along the axes that is scattered, estimates how much an
        error shrinks in a sweep.
        """
        rest = self._sweep(field, np.broadcast_to(self.unscattered, field.shape).copy(), self._start)
        allowed = ACCURACY * np.linalg.norm(self.unscattered) / np.maximum(self.share * scattered, 1e-30)
        sweeps, active = np.ones(len(field), dtype=np.int64), np.arange(len(field))
        points, defects = [], []
        while active.size and len(points) < SWEEPS:
            image = self._sweep(field[active], self.unscattered + rest[active])
            points.append(rest[active].reshape(active.size, -1))
            defects.append(image.reshape(active.size, -1) - points[-1])
            sweeps[active] += 1
            rest[active] = accelerate(points, defects).reshape(-1, *self.shape)
            more = np.linalg.norm(defects[-1], axis=1) > allowed[active]
            active = active[more]
            points, defects = [p[more] for p in points], [d[more] for d in defects]
        done = np.ones(len(field), dtype=bool)
        done[active] = False
        return rest, sweeps, done

    def _dense(self, field: np.ndarray) -> Attempt:
        values, residual = np.empty_like(field), np.empty(len(field))
        for row, mu_s in enumerate(field):
            values[row], residual[row] = rte_dense.solve(mu_s, self.absorption, self.share)
        return Attempt(values, np.ones(len(field), dtype=np.int64), np.isfinite(residual), residual)


def accelerate(points: list[np.ndarray], defects: list[np.ndarray]) -> np.ndarray:
    """Anderson's next point from all points x and defects g(x) - x so far, each (batch, unknowns).

    The affine combination of the points whose defect, were g linear, would be smallest, plus that defect. g is linear
    here, so that this is GMRES without its recurrence.
    """
    point, defect = points[-1], defects[-1]
    if len(points) == 1:
        return point + defect
    moves = point[:, None] - np.stack(points[:-1], axis=1)
    changes = defect[:, None] - np.stack(defects[:-1], axis=1)
    gram = changes @ changes.transpose(0, 2, 1)
    ridge = 1e-13 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(gram.shape[1])
    weight = np.linalg.solve(gram + ridge + np.finfo(float).tiny, changes @ defect[..., None])
    return point + defect - ((moves + changes) * weight).sum(axis=1)
