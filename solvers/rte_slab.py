"""Radiative transfer in slab geometry, (4.9) and (4.10) of the paper.

In optical depth tau, tau' = mu_t, and with e = 1/mu_a - u the equation reads

    e(tau) = (E_2(tau) + E_2(T - tau)) / (2 mu_a) + 1/2 int_0^T E_1(|tau - s|) omega(s) e(s) ds,  omega = mu_s / mu_t.

The density p = omega e is interpolated linearly in tau between the cell centres and integrated exactly against the
kernel. Integration by parts leaves E_3 at the distances of the centres, times the jumps of the slope of p there, and
E_2, E_3 at the distances to the two ends. Two corrections by the second difference of p make it fourth order.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import zeta

from solvers import rte_sweeps
from solvers.exponential_integrals import e2_e3, exponential_sum
from solvers.problem import Attempt
from solvers.rte_base import RadiativeTransfer

LOG_CORRECTION = float(zeta(3)) / (8 * np.pi**2)
"""Error of linear interpolation under a logarithmic kernel, in units of (second difference) (interval)."""


class Stencil(NamedTuple):
    """Quadrature of a field over the intervals between an end, the centres and the other end."""

    start: np.ndarray
    weights: np.ndarray


def interval_stencil(n: int, order: int = 6) -> Stencil:
    """Integrals of the polynomial through the nearest ``order`` cell centres, over each of the n + 1 intervals."""
    order = min(order, n)
    ends = np.concatenate([[0.0], np.arange(n) + 0.5, [n]])
    start = np.clip(np.arange(n + 1) - order // 2, 0, n - order)
    power = np.arange(order)
    weights = np.empty((n + 1, order))
    for k, first in enumerate(start):
        middle = first + order / 2
        centres = np.arange(first, first + order) + 0.5 - middle
        left, right = ends[k : k + 2] - middle
        moments = (right ** (power + 1) - left ** (power + 1)) / (power + 1)
        weights[k] = np.linalg.solve(centres[None, :] ** power[:, None], moments) / n
    return Stencil(start, weights)


class Slab(RadiativeTransfer):
    """Radiative transfer in a slab of unit thickness; ``shape`` is (N,).

    Between the cell centres mu_s is the polynomial of degree 5 through the nearest six of them. Both methods solve
    the same discrete equation: ``"fast"`` by GMRES, with products that cost O(N) because E_2 and E_3 are sums of
    exponentials; ``"product_integration"`` by the dense matrix with exact E_2 and E_3 and a direct solve.
    """

    title = "Radiative transfer in slab geometry"
    equation = "u = (I - K mu_s)^-1 K f, K(x, y) = 1/2 E_1(|int_x^y mu_t|), mu_t = mu_s + mu_a, f = 1, 0 < x < 1"
    dimensions = (1,)
    robust = "product_integration"
    tolerance = 1e-6
    smallest = 4
    block_size = 256

    def __init__(self, shape: tuple[int, ...], absorption: float = 0.2, sphere_measure: str = "4pi"):
        super().__init__(shape, absorption, sphere_measure)
        if sphere_measure != "4pi":
            raise ValueError(
                f"sphere_measure: {sphere_measure!r} given, a slab allows '4pi' (its directions are a sphere)"
            )
        self._stencil = interval_stencil(self.shape[0])

    @cached_property
    def _tables(self) -> rte_sweeps.Tables:
        rates, weights = exponential_sum(rte_sweeps.TERMS, min(3e-5, self.absorption / (2 * self.shape[0])))
        return rte_sweeps.Tables(*self._stencil, rates, weights, weights / rates, self.absorption, LOG_CORRECTION)

    @property
    def methods(self) -> dict:
        """``"fast"`` and ``"product_integration"``."""
        return {"fast": self._fast, "product_integration": self._product_integration}

    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Relative l2 norm of u - K(mu_s u + f) at the cell centres, by one application of the fast product."""
        return rte_sweeps.residuals(self._tables, field, np.ascontiguousarray(values, dtype=np.float64))

    def _fast(self, field: np.ndarray) -> Attempt:
        return Attempt(*rte_sweeps.solve(self._tables, field))

    def _product_integration(self, field: np.ndarray) -> Attempt:
        values = np.empty_like(field)
        for row, mu_s in enumerate(field):
            kernel, source = self._dense(mu_s)
            omega = mu_s / (mu_s + self.absorption)
            values[row] = 1 / self.absorption - np.linalg.solve(np.eye(len(mu_s)) - kernel * omega, source)
        return Attempt(values, np.ones(len(field), dtype=np.int64), np.isfinite(values).all(axis=1))

    def _optical_widths(self, mu_s: np.ndarray) -> np.ndarray:
        """Optical widths of the N + 1 intervals; a wiggle of the interpolant never makes mu_s negative."""
        start, weights = self._stencil
        n, order = len(mu_s), weights.shape[1]
        scattering = (weights * mu_s[start[:, None] + np.arange(order)]).sum(axis=1)
        absorption = np.full(n + 1, self.absorption / n)
        absorption[[0, -1]] /= 2
        return np.maximum(scattering, 0) + absorption

    def _dense(self, mu_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrix of p -> 1/2 int E_1 p at the centres, and the source (E_2(tau) + E_2(T - tau)) / (2 mu_a)."""
        width = self._optical_widths(mu_s)
        depth = np.cumsum(width)
        tau, total = depth[:-1], depth[-1]
        curvature = second_difference(width)
        nodal = np.eye(len(tau)) - curvature / 12
        ends = 1.5 * nodal[[0, -1]] - 0.5 * nodal[[1, -2]]
        slopes = np.diff(np.vstack([ends[:1], nodal, ends[1:]]), axis=0) / width[:, None]
        near, far = e2_e3(tau), e2_e3(total - tau)
        parts = e2_e3(np.abs(tau[:, None] - tau))[1] @ np.diff(slopes, axis=0)
        parts += np.outer(near[1], slopes[0]) - np.outer(far[1], slopes[-1])
        parts -= np.outer(near[0], ends[0]) + np.outer(far[0], ends[1])
        local = LOG_CORRECTION * np.sqrt(width[:-1] * width[1:])[:, None] * curvature
        return nodal + parts / 2 + local, (near[0] + far[0]) / (2 * self.absorption)


def second_difference(width: np.ndarray) -> np.ndarray:
    """Matrix of p'' times the widths of both neighbouring intervals; zero in the first and the last row."""
    left, right = width[1:-2], width[2:-1]
    row = np.arange(1, len(width) - 2)
    matrix = np.zeros((len(width) - 1,) * 2)
    matrix[row, row + 1] = 2 * left[: len(row)] / (left + right)
    matrix[row, row - 1] = 2 * right / (left + right)
    matrix[row, row] = -2.0
    return matrix
