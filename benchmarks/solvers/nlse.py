"""The nonlinear Schrödinger problem against the gradient flow as one would write it first."""

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

import solvers
from benchmarks.solvers.case import Case
from solvers.wells import Drawn, Wells, draw, synthesise

COUNTS = (2, 4, 6, 8)
"""Numbers of wells the paper sweeps."""

PRINTED = {"strength": (1, 4), "variance": (2e-3, 4e-3), "centre": (0, 1)}


def cases() -> list[Case]:
    return [
        _case("NLSE 1D", solvers.problem("nlse", shape=(320,)), (8192, 56, 400), 1e-9, 1000),
        _case("NLSE 2D", solvers.problem("nlse", shape=(80, 80)), (512, 14, 64), 1e-8, 1200),
    ]


def _case(name, problem, samples, floor_error, floor_ratio):
    fast, plain, reference = samples
    return Case(
        name=name,
        problem=problem,
        fields=lambda count, seed: _fields(problem, count, seed),
        straightforward=straightforward(problem),
        reference=lambda field: problem.solve(field, method="gradient_flow").values,
        hardest=_hardest(problem),
        samples_fast=fast,
        samples_straightforward=plain,
        samples_reference=reference,
        floor_error=floor_error,
        floor_hardest=1e-5,
        floor_ratio=floor_ratio,
    )


def _fields(problem, count, seed):
    """Random potentials as printed, the numbers of wells taking turns."""
    specs = [Wells(wells, **PRINTED) for wells in COUNTS]
    part = -(-count // len(specs))
    parts = [synthesise(spec, problem, draw(spec, problem, seed, "test", 0, part)) for spec in specs]
    return np.stack(parts, axis=1).reshape(-1, *problem.shape)[:count]


def _hardest(problem):
    """Eight wells of full strength in one place, the narrowest and the widest, on and between grid points."""
    spec, dimension = Wells(8, **PRINTED), len(problem.shape)
    variance = np.array([2e-3, 2e-3, 4e-3, 4e-3])
    centre = np.broadcast_to(np.array([0.5, 0.501, 0.5, 0.501])[:, None, None], (4, 8, dimension))
    return synthesise(spec, problem, Drawn(np.full((4, 8), 4.0), centre.copy(), variance))


def straightforward(problem):
    """Return the solver of (batch, *shape) fields that one would write first."""
    return lambda field: _straightforward(field, problem.beta)


def _straightforward(field, beta):
    """Normalised gradient flow, sample by sample.

    V shifted to be non-negative, backward Euler with dt = 1, second-order differences, a sparse LU factorisation a
    step, until u changes by less than 1e-5 in a step.
    """
    shape = field.shape[1:]
    points = int(np.prod(shape))
    identity = sparse.eye(points, format="csc")
    laplacian = _differences(shape)
    values = np.empty_like(field)
    for sample, potential in enumerate(field):
        V = potential.ravel() - potential.min()
        u, change = np.ones(points), np.inf
        while change > 1e-5:
            matrix = identity - laplacian + sparse.diags(V + beta * u**2, format="csc")
            w = splu(matrix).solve(u)
            w /= np.sqrt(np.mean(w**2))
            u, change = w, np.abs(w - u).max()
        values[sample] = u.reshape(shape)
    return values


def _differences(shape):
    """Second-order Laplacian on the periodic unit cube."""
    total = sparse.csc_array((1, 1))
    for points in shape:
        ring = sparse.diags([1.0, 1.0, -2.0, 1.0, 1.0], [1 - points, -1, 0, 1, points - 1], shape=(points, points))
        total = sparse.kronsum(ring * points**2, total, format="csc")
    return total
