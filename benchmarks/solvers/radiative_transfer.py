"""Radiative transfer against dense matrices as one would write them first, and high-order quadrature as reference."""

import numpy as np
import scipy.linalg
from scipy.interpolate import RectBivariateSpline, make_interp_spline
from scipy.ndimage import map_coordinates
from scipy.special import exp1, expn

import solvers
from benchmarks.solvers.case import Case
from solvers.wells import Drawn, Wells, draw, synthesise

COUNTS = (2, 4, 6, 8)
"""Numbers of bumps that the paper sweeps in the slab; in the plane it has two."""

SLAB = {"strength": (0.1, 0.3), "variance": (2e-3, 4e-3), "centre": (0.2, 0.8), "sign": 1}
PLANE = {"strength": (0.01, 0.03), "variance": (2e-3, 4e-3), "centre": (0.2, 0.8), "sign": 1}


def cases() -> list[Case]:
    return [_slab_case(), _plane_case("RTE 2D", "4pi", "slab"), _plane_case("RTE 2D 2pi", "2pi", "normalised")]


def _slab_case():
    problem = solvers.problem("rte", shape=(320,))
    return Case(
        name="RTE 1D",
        problem=problem,
        fields=lambda count, seed: _fields(problem, COUNTS, SLAB, count, seed),
        straightforward=straightforward(problem),
        reference=lambda field: slab_reference(field, problem.absorption),
        hardest=_coincident(problem, Wells(8, **SLAB), [0.2, 0.5, 0.5013, 0.8]),
        samples_fast=2048,
        samples_straightforward=24,
        samples_reference=32,
        floor_error=1e-5,
        floor_hardest=1e-4,
        floor_ratio=300,
    )


def _plane_case(name, measure, amplitude):
    problem = solvers.problem("rte", shape=(80, 80), sphere_measure=measure)
    law = {**PLANE, "amplitude": amplitude}
    return Case(
        name=name,
        problem=problem,
        fields=lambda count, seed: _fields(problem, (2,), law, count, seed),
        straightforward=straightforward(problem),
        reference=lambda field: problem.solve(field, method="dense").values,
        hardest=_coincident(problem, Wells(2, **law), [0.2, 0.5]),
        samples_fast=256,
        samples_straightforward=1,
        samples_reference=2,
        floor_error=1e-5 if measure == "4pi" else 1e-4,
        floor_hardest=5e-2,
        floor_ratio=5000 if measure == "4pi" else 2500,
        signal=lambda: problem.unscattered,
        floor_signal=5e-3,
    )


def _fields(problem, counts, law, count, seed):
    """Random scattering coefficients as printed, the numbers of bumps taking turns."""
    part = -(-count // len(counts))
    specs = [Wells(wells, **law) for wells in counts]
    parts = [synthesise(spec, problem, draw(spec, problem, seed, "test", 0, part)) for spec in specs]
    return np.stack(parts, axis=1).reshape(-1, *problem.shape)[:count]


def _coincident(problem, spec, places):
    """All bumps at full strength in one place, as narrow as they come, at each of the places (along every axis)."""
    count, dimension = len(places), len(problem.shape)
    centre = np.broadcast_to(np.asarray(places)[:, None, None], (count, spec.wells, dimension)).copy()
    strength = np.full((count, spec.wells), spec.strength[1])
    return synthesise(spec, problem, Drawn(strength, centre, np.full(count, spec.variance[0])))


def straightforward(problem):
    """Return the solver of (batch, *shape) fields that one would write first: dense, with constant cells."""
    if len(problem.shape) == 1:
        return lambda field: _slab_straightforward(field, problem.absorption)
    return lambda field: _plane_straightforward(field, problem.absorption, problem.sphere_measure)


def _slab_straightforward(field, absorption):
    """Dense product integration, sample by sample: constant cells, exact integrals of E_1, a direct solve."""
    n = field.shape[1]
    values = np.empty_like(field)
    for sample, mu_s in enumerate(field):
        mu_t = mu_s + absorption
        edges = np.concatenate([[0], np.cumsum(mu_t / n)])
        centres = (edges[1:] + edges[:-1]) / 2
        second = expn(2, np.abs(centres[:, None] - edges))
        kernel = np.abs(np.diff(second, axis=1)) / 2
        np.fill_diagonal(kernel, 1 - np.diagonal(second))
        values[sample] = np.linalg.solve(np.eye(n) - kernel * (mu_s / mu_t), kernel @ (1 / mu_t))
    return values


def slab_reference(field: np.ndarray, absorption: float, panels: int = 24, order: int = 10) -> np.ndarray:
    """Solve the slab by Nyström's method on Gauss panels graded towards the walls.

    mu_s is the spline of degree 7 through its samples. Panels near a point are halved towards it until the logarithm
    of the kernel does not matter, with e = 1/mu_a - u interpolated from the panel's own points.
    """
    centres = (np.arange(field.shape[1]) + 0.5) / field.shape[1]
    uniform = np.linspace(0, 1, panels + 1)
    graded = 2.0 ** -np.arange(1, 11) / panels
    edges = np.sort(np.concatenate([uniform, graded, 1 - graded]))
    return np.array([_nystrom(mu_s, centres, edges, absorption, order) for mu_s in field])


def _nystrom(mu_s, centres, edges, absorption, order):
    spline = make_interp_spline(centres, mu_s, k=7)
    primitive = spline.antiderivative()

    def depth(x):
        return primitive(x) - primitive(0.0) + absorption * x

    point, weight = np.polynomial.legendre.leggauss(order)
    nodes = (edges[:-1, None] + np.diff(edges)[:, None] * (point + 1) / 2).ravel()

    def source(x):
        tau, total = depth(x), depth(1.0)
        return (expn(2, tau) + expn(2, total - tau)) / (2 * absorption)

    matrix = _nystrom_rows(nodes, edges, spline, depth, point, weight)
    e = np.linalg.solve(np.eye(len(nodes)) - matrix, source(nodes))
    return 1 / absorption - source(centres) - _nystrom_rows(centres, edges, spline, depth, point, weight) @ e


def _nystrom_rows(targets, edges, spline, depth, point, weight):
    """Rows of the operator e -> 1/2 int E_1 mu_s e at the targets, on values of e at the panels' Gauss points."""
    order = len(point)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    nodes = middle[:, None] + half[:, None] * point
    distance = np.abs(depth(targets)[:, None, None] - depth(nodes))
    rows = exp1(np.maximum(distance, 1e-300)) / 2 * spline(nodes) * (half[:, None] * weight)
    to_values = np.linalg.inv(np.polynomial.legendre.legvander(point, order - 1))
    near = np.abs(targets[:, None] - middle) < 2.5 * half
    for t, panel in zip(*np.nonzero(near), strict=True):
        low, high = edges[panel], edges[panel + 1]
        x = np.clip(targets[t], low, high)
        shrink = 2.0 ** -np.arange(40)
        parts = np.sort(np.concatenate([x - (x - low) * shrink, x + (high - x) * shrink]))
        width = np.diff(parts)
        y = (parts[:-1, None] + width[:, None] * (point + 1) / 2)[width > 0].ravel()
        w = (width[:, None] * weight / 2)[width > 0].ravel()
        kernel = exp1(np.maximum(np.abs(depth(targets[t]) - depth(y)), 1e-300)) / 2 * spline(y) * w
        local = np.polynomial.legendre.legvander((y - middle[panel]) / half[panel], order - 1)
        rows[t, panel] = kernel @ local @ to_values
    return rows.reshape(len(targets), -1)


def _plane_straightforward(field, absorption, measure):
    """Dense midpoint rule, sample by sample: the kernel in the own cell integrated exactly, but for its decay.

    Lines of sight take 24 Gauss points of the bilinear field; columns are scaled by mu_s; LU.
    """
    n = field.shape[1]
    cells = np.indices((n, n)).reshape(2, -1).astype(float)
    values = np.empty_like(field)
    for sample, mu_s in enumerate(field):
        kernel = np.empty((n * n, n * n))
        for row in range(n * n):
            kernel[row] = _plane_kernel_row(mu_s, cells, row, absorption)
        kernel /= 2 * np.pi if measure == "2pi" else 4 * np.pi
        source = kernel.sum(axis=1)
        kernel *= -mu_s.ravel()
        kernel[np.diag_indices(n * n)] += 1
        lu = scipy.linalg.lu_factor(kernel, overwrite_a=True, check_finite=False)
        values[sample] = scipy.linalg.lu_solve(lu, source).reshape(n, n)
    return values


def _plane_kernel_row(mu_s, cells, row, absorption):
    n = len(mu_s)
    points, weights = np.polynomial.legendre.leggauss(24)
    offset = cells - cells[:, row : row + 1]
    along = cells[:, row, None, None] + offset[:, None] * ((points + 1) / 2)[:, None]
    mean = weights / 2 @ map_coordinates(mu_s, along, order=1)
    distance = np.hypot(*offset) / n
    distance[row] = 1
    kernel = np.exp(-distance * (mean + absorption)) / (distance * n**2)
    kernel[row] = 4 * np.log(1 + np.sqrt(2)) / n
    return kernel


def polar_rest(mu_s: np.ndarray, u: np.ndarray, cells: np.ndarray, absorption: float, share: float) -> np.ndarray:
    """The rest w that a density u gives rise to at some cells, (points, 2) indices, by quadrature in polar coordinates.

    Directions are split at the corners, Gauss points in each sector and along each ray; fields by quintic splines.
    """
    n = len(mu_s)
    centres = (np.arange(n) + 0.5) / n
    scattering = RectBivariateSpline(centres, centres, mu_s, kx=5, ky=5)
    emission = RectBivariateSpline(centres, centres, mu_s * u, kx=5, ky=5)
    angle, angle_weight = np.polynomial.legendre.leggauss(32)
    point, weight = np.polynomial.legendre.leggauss(72)
    r = (point + 1) / 2
    polynomials = np.polynomial.legendre.legint(np.eye(72), lbnd=-1)
    up_to = np.polynomial.legendre.legval(point, polynomials).T / 2
    up_to = up_to @ np.linalg.inv(np.polynomial.legendre.legvander(point, 71))
    rest = []
    for x, y in (cells + 0.5) / n:
        corner = np.sort([np.arctan2(b - y, a - x) for a in (0, 1) for b in (0, 1)])
        sector = np.diff(np.append(corner, corner[0] + 2 * np.pi))
        theta = (corner[:, None] + sector[:, None] * (angle + 1) / 2).ravel()
        cosine, sine = np.cos(theta), np.sin(theta)
        length = np.minimum(((cosine > 0) - x) / cosine, ((sine > 0) - y) / sine)[:, None]
        a, b = np.clip(x + r * length * cosine[:, None], 0, 1), np.clip(y + r * length * sine[:, None], 0, 1)
        mu = scattering.ev(a, b)
        tau = length * (mu @ up_to.T) + absorption * r * length
        unscattered = -np.expm1(-absorption * length * (1 - r)) / absorption
        flux = (length * np.exp(-tau) * (emission.ev(a, b) - mu * unscattered)) @ weight / 2
        rest.append(flux @ (sector[:, None] * angle_weight / 2).ravel())
    return share / (2 * np.pi) * np.array(rest)
