"""Radiative transfer in the square: polar quadrature, balance, symmetry, order, and both methods as one."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import RectBivariateSpline

import solvers
from benchmarks.solvers.radiative_transfer import polar_rest


def bumps(n, centres, strengths, variance=3e-3, normalised=False):
    """(4.12) at the cell centres, as printed or with normalised Gaussians."""
    x = (np.arange(n) + 0.5) / n
    peak = 2 * np.pi * variance if normalised else np.sqrt(2 * np.pi * variance)
    return sum(
        rho / peak * np.exp(-((x[:, None] - a) ** 2 + (x - b) ** 2) / (2 * variance))
        for rho, (a, b) in zip(strengths, centres, strict=True)
    )


CENTRES = [(0.31, 0.44), (0.72, 0.63)]


@pytest.fixture(scope="module")
def problem():
    """The printed problem on a grid that the dense method can afford."""
    return solvers.problem("rte", shape=(48, 48))


@pytest.fixture(scope="module")
def field():
    return bumps(48, CENTRES, [0.03, 0.02], 4e-3)[None]


@pytest.fixture(scope="module")
def dense(problem, field):
    return problem.solve(field, method="dense")


def test_density_without_scattering_against_quadrature(problem):
    """u_0 = (1/2) <(1 - exp(-mu_a l)) / mu_a> over directions, the corners given to the integrator."""
    for i, j in [(0, 0), (0, 20), (11, 30), (47, 46)]:
        x, y = (np.array([i, j]) + 0.5) / 48

        def flux(theta, x=x, y=y):
            c, s = np.cos(theta), np.sin(theta)
            return -np.expm1(-0.2 * min(((c > 0) - x) / c, ((s > 0) - y) / s)) / 0.2

        breaks = [np.arctan2(b - y, a - x) for a in (0, 1) for b in (0, 1)] + [-np.pi / 2, 0, np.pi / 2]
        ends = np.sort(np.array([*breaks, -np.pi, np.pi]))
        mean = sum(quad(flux, a, b, epsabs=1e-12)[0] for a, b in pairwise(ends)) / (2 * np.pi)
        assert problem.unscattered[i, j] == pytest.approx(mean / 2, abs=1e-10)


def test_no_scattering(problem):
    solution = problem.solve(np.zeros((1, 48, 48)))
    np.testing.assert_array_equal(solution.values[0], problem.unscattered)
    robust = problem.solve(np.zeros((1, 48, 48)), method="dense")
    np.testing.assert_allclose(robust.values[0], problem.unscattered, rtol=1e-8)


def test_dense_against_polar_quadrature(problem, field, dense):
    cells = np.random.default_rng(0).integers(0, 48, (25, 2))
    rest = polar_rest(field[0], dense.values[0], cells, 0.2, 0.5)
    computed = (dense.values[0] - problem.unscattered)[tuple(cells.T)]
    assert np.linalg.norm(computed - rest) < 2e-3 * np.linalg.norm(rest)


def test_fast_is_dense(problem, field, dense):
    fast = problem.solve(field)
    assert not fast.fallback.any()
    error = np.linalg.norm(fast.values - dense.values)
    assert error < 1e-5 * np.linalg.norm(dense.values)
    assert error < 5e-3 * np.linalg.norm(dense.values - problem.unscattered)
    assert fast.residual.max() < 1e-6
    assert dense.residual.max() < 1e-12
    assert problem.residual(field, dense.values).max() < 1e-5


@pytest.mark.parametrize(("measure", "normalised"), [("4pi", False), ("2pi", True)])
def test_fast_at_full_size_against_polar_quadrature(measure, normalised):
    """The grid and the bumps of the paper; w has to be the rest that u gives rise to."""
    problem = solvers.problem("rte", shape=(80, 80), sphere_measure=measure)
    field = np.stack(
        [
            bumps(80, CENTRES, [0.03, 0.02], 2e-3, normalised),
            bumps(80, [(0.2, 0.2), (0.2, 0.2)], [0.03, 0.03], 2e-3, normalised),
        ]
    )
    values = problem.solve(field).values
    cells = np.random.default_rng(1).integers(0, 80, (40, 2))
    for mu_s, u, allowed in zip(field, values, (5e-3, 1e-2), strict=True):
        rest = polar_rest(mu_s, u, cells, 0.2, problem.share)
        computed = (u - problem.unscattered)[tuple(cells.T)]
        assert np.linalg.norm(computed - rest) < allowed * np.linalg.norm(rest)


def test_order_of_the_dense_method():
    errors = []
    for n in (16, 48):
        problem = solvers.problem("rte", shape=(n, n))
        field = bumps(n, [(0.47, 0.55)], [0.1], 1e-2)
        fine = bumps(48, [(0.47, 0.55)], [0.1], 1e-2)
        values = problem.solve(field[None], method="dense").values[0]
        if n == 16:
            coarse = values
    cells = np.stack(np.meshgrid(np.arange(2, 16, 4), np.arange(1, 16, 4)), axis=-1).reshape(-1, 2)
    exact = polar_rest(fine, values, 3 * cells + 1, 0.2, 0.5)
    for u, where in ((coarse, cells), (values, 3 * cells + 1)):
        rest = u[tuple(where.T)] - solvers.problem("rte", shape=u.shape).unscattered[tuple(where.T)]
        errors.append(np.linalg.norm(rest - exact))
    assert np.log(errors[0] / errors[1]) / np.log(3) > 3


def test_symmetries_of_the_square(problem, field):
    values = problem.solve(field).values[0]
    for turn in range(4):
        for flip in (False, True):

            def move(array, turn=turn, flip=flip):
                array = np.rot90(array, turn)
                return array[::-1] if flip else array

            moved = problem.solve(move(field[0])[None].copy()).values[0]
            np.testing.assert_allclose(moved, move(values), rtol=2e-7)


def test_particles_balance():
    """With the measure 2 pi what the source emits is absorbed or leaves: mean of mu_a u + P (mu_s u + 1) is 1.

    P(x), the chance to leave without a collision from x, is here a mean over 720 directions.
    """
    n = 32
    problem = solvers.problem("rte", shape=(n, n), sphere_measure="2pi")
    field = bumps(n, CENTRES, [0.03, 0.02], 8e-3, normalised=True)
    u = problem.solve(field[None]).values[0]
    x = problem.coordinates()[0]
    spline = RectBivariateSpline(x, x, field)
    point, weight = np.polynomial.legendre.leggauss(24)
    a, b = (array.ravel() for array in np.meshgrid(x, x, indexing="ij"))
    leaves = np.zeros(n * n)
    for theta in (np.arange(360) + 0.5) * np.pi / 180:
        c, s = np.cos(theta), np.sin(theta)
        length = np.minimum(((c > 0) - a) / c, ((s > 0) - b) / s)
        r = length[:, None] * (point + 1) / 2
        mu = spline.ev(a[:, None] + r * c, b[:, None] + r * s)
        leaves += np.exp(-length * (0.2 + mu @ weight / 2)) / 360
    balance = (0.2 * u + leaves.reshape(n, n) * (field * u + 1)).mean()
    assert balance == pytest.approx(1, abs=5e-4)


def test_printed_measure_loses_half_of_the_scattered_light():
    """The measure 4 pi halves u_0, and what scatters to first order in mu_s is what the quadrature says for both."""
    weak = 1e-3 * bumps(48, CENTRES, [0.03, 0.02], 4e-3)[None]
    full, half = (solvers.problem("rte", shape=(48, 48), sphere_measure=m) for m in ("2pi", "4pi"))
    np.testing.assert_allclose(half.unscattered, full.unscattered / 2, rtol=1e-14)
    cells = np.array([[10, 12], [30, 33]])
    for problem, share in ((full, 1.0), (half, 0.5)):
        rest = (problem.solve(weak).values - problem.unscattered)[0][tuple(cells.T)]
        exact = polar_rest(weak[0], problem.unscattered, cells, 0.2, share)
        np.testing.assert_allclose(rest, exact, rtol=2e-2)


def test_smooth_strong_field_that_reaches_the_walls():
    """A field of the size of one, not small at the walls: the sweeps still agree with the dense method."""
    problem = solvers.problem("rte", shape=(32, 32), sphere_measure="2pi")
    wave = np.cos(2 * np.pi * np.arange(32) / 32)
    field = (1 + 0.5 * wave[:, None] * wave)[None]
    fast, dense = problem.solve(field), problem.solve(field, method="dense")
    assert not fast.fallback.any()
    assert np.linalg.norm(fast.values - dense.values) < 1e-3 * np.linalg.norm(dense.values)


def test_fallback_on_a_rough_field():
    problem = solvers.problem("rte", shape=(24, 24))
    rough = 0.2 * np.random.default_rng(3).random((24, 24))
    field = np.stack([rough, bumps(24, CENTRES, [0.03, 0.02], 2e-2)])
    solution = problem.solve(field)
    assert solution.fallback.tolist() == [True, False]
    np.testing.assert_array_equal(solution.values[0], problem.solve(field[:1], method="dense").values[0])
    assert (solution.values > 0).all()


def test_samples_do_not_depend_on_their_batch(problem):
    generator = np.random.default_rng(4)
    field = np.array([bumps(48, generator.uniform(0.2, 0.8, (2, 2)), [0.03, 0.02], 4e-3) for _ in range(3)])
    alone = np.concatenate([problem.solve(sample[None]).values for sample in field])
    np.testing.assert_allclose(problem.solve(field).values, alone, rtol=1e-10)


def test_bad_input(problem, field):
    with pytest.raises(ValueError, match="field: negative value"):
        problem.solve(-field)
    with pytest.raises(ValueError, match=r"shape: .* the same number of cells"):
        solvers.problem("rte", shape=(32, 40))
    with pytest.raises(ValueError, match=r"shape: .* at least 16 cells"):
        solvers.problem("rte", shape=(8, 8))
