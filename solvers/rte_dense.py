"""The dense integral operator of the plane: singularity integrated, lines of sight integrated one by one.

For an isotropic source F that is smooth and small at the walls, the rule on the lattice of cell centres,

    int F e^-tau / |x - y| dy = h^2 sum' F e^-tau / |x - y| - h Z(1) F - h^2 Z(0) f_0 - h^3 Z(-1) f_1 + O(h^5),

corrects the sum that leaves out y = x by the values Z(s) of the lattice's zeta function; f_0 = -mu_t F and
f_1 = (Laplacian of F) / 4 + mu_t^2 F / 2 are the coefficients of |x - y|^0 and |x - y|^1 in F e^-tau / |x - y|,
averaged over directions.
"""

import math

import numba
import numpy as np
from scipy.interpolate import RectBivariateSpline

OPTIONS = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}
LATTICE_ZETA = {1: -3.9002649200019559, 0: -1.0, -1: -0.22882431037721893}
"""Z(s) = 4 zeta(s/2) beta(s/2), the sum of |n|^-s over the square lattice without its origin, continued."""
REFINEMENT = 8
"""Lines of sight are integrated over the field on a grid finer by this factor, bilinearly."""
NODES = 24
"""Gauss points of a line of sight shorter than half the side; a longer one takes twice as many."""
DIRECTIONS = 64
"""Gauss points of each of the four sectors of directions between the corners."""


def refine(field: np.ndarray) -> np.ndarray:
    """The field by a quintic spline on a finer grid that includes the walls, spacing h / REFINEMENT; not negative."""
    n = len(field)
    centres, fine = (np.arange(n) + 0.5) / n, np.arange(n * REFINEMENT + 1) / (n * REFINEMENT)
    return np.maximum(RectBivariateSpline(centres, centres, field, kx=5, ky=5)(fine, fine), 0)


@numba.njit(**OPTIONS)
def line_integral(fine, x0, y0, x1, y1, rule):
    """Integral of the refined field along the straight line between two points of the unit square."""
    cells = fine.shape[0] - 1
    total = 0.0
    for p in range(rule.shape[1]):
        a, b = cells * (x0 + rule[0, p] * (x1 - x0)), cells * (y0 + rule[0, p] * (y1 - y0))
        i, j = min(int(a), cells - 1), min(int(b), cells - 1)
        a, b = a - i, b - j
        low = fine[i, j] + b * (fine[i, j + 1] - fine[i, j])
        high = fine[i + 1, j] + b * (fine[i + 1, j + 1] - fine[i + 1, j])
        total += rule[1, p] * (low + a * (high - low))
    return total * math.hypot(x1 - x0, y1 - y0)


@numba.njit(**OPTIONS)
def fill_kernel(fine, n, absorption, long, short, matrix):
    """Fill ``matrix`` off its diagonal with h^2 e^-tau / |x - y| for the centres of n x n cells."""
    h = 1 / n
    for p in range(n * n):
        x0, y0 = (p // n + 0.5) * h, (p % n + 0.5) * h
        for q in range(p):
            x1, y1 = (q // n + 0.5) * h, (q % n + 0.5) * h
            distance = math.hypot(x1 - x0, y1 - y0)
            rule = short if distance < 0.5 else long
            tau = absorption * distance + line_integral(fine, x0, y0, x1, y1, rule)
            matrix[p, q] = matrix[q, p] = h * h * math.exp(-tau) / distance


@numba.njit(**OPTIONS)
def transmission(fine, n, absorption, angle, rule):
    """Mean over directions of exp(-tau) from each centre to the walls; directions are split at the corners."""
    mean = np.empty((n, n))
    corners = np.empty(5)
    for i in range(n):
        for j in range(n):
            x, y = (i + 0.5) / n, (j + 0.5) / n
            corners[0], corners[1] = math.atan2(-y, 1 - x), math.atan2(1 - y, 1 - x)
            corners[2], corners[3] = math.atan2(1 - y, -x), math.atan2(-y, -x) + 2 * math.pi
            corners[4] = corners[0] + 2 * math.pi
            total = 0.0
            for c in range(4):
                for k in range(angle.shape[1]):
                    theta = corners[c] + angle[0, k] * (corners[c + 1] - corners[c])
                    s, t = math.cos(theta), math.sin(theta)
                    across = (1 - x) / s if s > 0 else -x / s
                    along = (1 - y) / t if t > 0 else -y / t
                    length = min(across, along)
                    x1, y1 = min(max(x + length * s, 0.0), 1.0), min(max(y + length * t, 0.0), 1.0)
                    tau = absorption * length + line_integral(fine, x, y, x1, y1, rule)
                    total += angle[1, k] * (corners[c + 1] - corners[c]) * math.exp(-tau)
            mean[i, j] = total / (2 * math.pi)
    return mean


def unit_gauss(count: int) -> np.ndarray:
    """Gauss-Legendre points and weights on [0, 1], two rows."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return np.array([(points + 1) / 2, weights / 2])


def laplacian(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells and their four neighbours, as indices; at a wall a cell is its own neighbour."""
    cell = np.arange(n * n).reshape(n, n)
    edge = np.pad(cell, 1, mode="edge")
    return cell, np.stack([edge[:-2, 1:-1], edge[2:, 1:-1], edge[1:-1, :-2], edge[1:-1, 2:]])


def solve(mu_s: np.ndarray, absorption: float, share: float) -> np.ndarray:
    """Solve one sample by the dense matrix.

    Parameters
    ----------
    mu_s : (N, N) float64
    absorption : float
    share : float
        Part of the directions that counts: 1/2 for the measure 4 pi, 1 for 2 pi.

    Returns
    -------
    (N, N) float64
        The density u. The matrix takes 8 N^4 bytes: 330 MB for N = 80.
    """
    n = len(mu_s)
    h, fine = 1 / n, refine(mu_s)
    # e = 1/mu_a - u obeys e = K(mu_s e) + (1 - share + share (mean transmission)) / mu_a.
    long, short = unit_gauss(2 * NODES), unit_gauss(NODES)
    matrix = np.zeros((n * n, n * n))
    fill_kernel(fine, n, absorption, long, short, matrix)
    mu_t = (mu_s + absorption).ravel()
    diagonal = -LATTICE_ZETA[1] * h + LATTICE_ZETA[0] * h**2 * mu_t - LATTICE_ZETA[-1] * h**3 * mu_t**2 / 2
    cell, neighbours = laplacian(n)
    curvature = -LATTICE_ZETA[-1] * h / 4
    matrix[cell.ravel(), cell.ravel()] += diagonal - 4 * curvature
    for neighbour in neighbours:
        matrix[cell.ravel(), neighbour.ravel()] += curvature
    matrix *= -share / (2 * np.pi) * mu_s.ravel()
    matrix[np.diag_indices(n * n)] += 1
    passed = transmission(fine, n, absorption, unit_gauss(DIRECTIONS), long)
    source = (1 - share + share * passed) / absorption
    return 1 / absorption - np.linalg.solve(matrix, source.ravel()).reshape(n, n)
