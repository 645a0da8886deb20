"""The dense integral operator of the plane: singularity integrated, lines of sight integrated one by one.

With psi = omega e, omega = mu_s / mu_t, the value at x is taken out of the integral, which is then small near x and
harmless at the walls; what it leaves is the chance 1 - P(x) of a collision before the walls:

    1/(2 pi) int mu_t psi e^-tau / |x - y| dy
        = (1 - P(x)) psi(x) + 1/(2 pi) int mu_t(y) (psi(y) - psi(x)) e^-tau / |x - y| dy.

For F = mu_t (psi - psi(x)), which vanishes at y = x, the rule on the lattice of cell centres

    int F e^-tau / |x - y| dy = h^2 sum' F e^-tau / |x - y| - h^3 Z(-1) (Laplacian of F) / 4 + O(h^5)

leaves y = x out of the sum and corrects for it by the lattice's zeta function Z(s) = sum' |n|^-s, continued to s = -1.
Three rows of cells along each wall have weights that make the rule exact for quadratic F there.
"""

import math

import numba
import numpy as np

OPTIONS = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}
LATTICE_ZETA = -0.22882431037721893
"""Z(-1) = 4 zeta(-1/2) beta(-1/2) of the square lattice."""
END_WEIGHTS = (26 / 24, 21 / 24, 25 / 24)
"""Weights of the midpoint rule in the first three cells."""
REFINEMENT = 8
"""Lines of sight are integrated over the field on a grid finer by this factor, bilinearly."""
NODES = 24
"""Gauss points of a line of sight shorter than half the side; a longer one takes twice as many."""
DIRECTIONS = 64
"""Gauss points of each of the four sectors of directions between the corners."""


def refine(field: np.ndarray) -> np.ndarray:
    """The field by a quintic spline on a finer grid that includes the walls, spacing h / REFINEMENT; not negative.

    A twelfth of the second differences is taken off, by which bilinear interpolation is too large on average.
    """
    from scipy.interpolate import RectBivariateSpline  # here: slow to load, and the sweeps do without
    from scipy.ndimage import laplace

    n = len(field)
    centres, fine = (np.arange(n) + 0.5) / n, np.arange(n * REFINEMENT + 1) / (n * REFINEMENT)
    values = np.maximum(RectBivariateSpline(centres, centres, field, kx=5, ky=5)(fine, fine), 0)
    return values - laplace(values, mode="nearest") / 12


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


def kernel(fine: np.ndarray, n: int, absorption: float) -> np.ndarray:
    """Matrix of F -> int F e^-tau / |x - y| dy for F that vanish at x, (n^2, n^2), with a diagonal of zeros."""
    matrix = np.zeros((n * n, n * n))
    fill_kernel(fine, n, absorption, unit_gauss(2 * NODES), unit_gauss(NODES), matrix)
    weight = np.ones(n)
    weight[:3] = weight[:-4:-1] = END_WEIGHTS
    matrix *= np.outer(weight, weight).ravel()
    cell, neighbours = laplacian(n)
    for neighbour in neighbours:
        matrix[cell.ravel(), neighbour.ravel()] -= LATTICE_ZETA / (4 * n)
    matrix[np.diag_indices(n * n)] = 0
    return matrix


def solve(mu_s: np.ndarray, absorption: float, share: float) -> tuple[np.ndarray, float]:
    """Solve one sample by the dense matrix.

    Parameters
    ----------
    mu_s : (N, N) float64
    absorption : float
    share : float
        Part of the directions that counts: 1/2 for the measure 4 pi, 1 for 2 pi.

    Returns
    -------
    u : (N, N) float64
        The density. Matrix and factors take 16 N^4 bytes: 660 MB for N = 80.
    residual : float
        Relative residual of the discrete equation.
    """
    n, fine = len(mu_s), refine(mu_s)
    passed = transmission(fine, n, absorption, unit_gauss(DIRECTIONS), unit_gauss(2 * NODES)).ravel()
    matrix = kernel(fine, n, absorption)
    matrix *= share / (2 * np.pi)
    # e = 1/mu_a - u obeys e = K(mu_s e) + (1 - share + share P) / mu_a.
    scattering, total = mu_s.ravel(), mu_s.ravel() + absorption
    diagonal = 1 + scattering / total * (matrix @ total - share * (1 - passed))
    matrix *= -scattering
    matrix[np.diag_indices(n * n)] = diagonal
    source = (1 - share + share * passed) / absorption
    e = np.linalg.solve(matrix, source)
    u = 1 / absorption - e
    return u.reshape(n, n), float(np.linalg.norm(matrix @ e - source) / np.linalg.norm(u))
