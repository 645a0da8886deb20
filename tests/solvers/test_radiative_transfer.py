"""Radiative transfer in the slab: closed forms, Nyström's method, balance, symmetry, order, and both methods as one."""

import numpy as np
import pytest
from scipy.special import expn

import solvers
from benchmarks.solvers.radiative_transfer import slab_reference


def bumps(n, centres, strengths, variance=3e-3):
    """(4.11) at the cell centres."""
    x = (np.arange(n) + 0.5) / n
    shape = np.exp(-((x[:, None] - np.asarray(centres)) ** 2) / (2 * variance))
    return shape @ np.asarray(strengths) / np.sqrt(2 * np.pi * variance)


def random_bumps(n, count, rng):
    counts = [2, 4, 6, 8]
    return np.array(
        [
            bumps(n, rng.uniform(0.2, 0.8, k), rng.uniform(0.1, 0.3, k), rng.uniform(2e-3, 4e-3))
            for k in (counts[i % 4] for i in range(count))
        ]
    )


def distance(values, reference):
    return np.linalg.norm(values - reference, axis=-1) / np.linalg.norm(reference, axis=-1)


@pytest.mark.parametrize("absorption", [0.2, 4.0])
def test_closed_form_without_scattering(absorption):
    problem = solvers.problem("rte", shape=(160,), absorption=absorption)
    x = problem.coordinates()[0]
    exact = (1 - (expn(2, absorption * x) + expn(2, absorption * (1 - x))) / 2) / absorption
    field = np.zeros((1, 160))
    assert distance(problem.solve(field, method="product_integration").values, exact) < 1e-13
    solution = problem.solve(field)
    assert distance(solution.values, exact) < 3e-7
    assert solution.iterations == 1


@pytest.mark.parametrize(("mu_s", "absorption", "allowed"), [(1.0, 0.2, 2e-6), (5.0, 0.2, 2e-5), (3.0, 3.0, 2e-5)])
def test_constant_scattering_against_nystrom(mu_s, absorption, allowed):
    """The hardest place is the wall, where u has a logarithmic slope and mu_s does not vanish."""
    problem = solvers.problem("rte", shape=(320,), absorption=absorption)
    field = np.full((1, 320), mu_s)
    assert distance(problem.solve(field).values, slab_reference(field, absorption)) < allowed


def test_printed_bumps_against_nystrom():
    problem = solvers.problem("rte", shape=(320,))
    field = np.concatenate(
        [random_bumps(320, 2, np.random.default_rng(0)), bumps(320, np.full(8, 0.5), np.full(8, 0.3), 2e-3)[None]]
    )
    reference = slab_reference(field, 0.2)
    fast, dense = problem.solve(field), problem.solve(field, method="product_integration")
    assert distance(fast.values[:2], reference[:2]).max() < 3e-7
    assert distance(fast.values[2:], reference[2:]) < 1.5e-6
    assert distance(dense.values[:2], reference[:2]).max() < 1.5e-7
    assert not fast.fallback.any()
    assert fast.residual.max() < 1e-7
    assert (fast.values > 0).all()


def test_order_of_product_integration():
    centres, strengths = [0.3, 0.62, 0.7], [0.2, 0.3, 0.1]
    reference = slab_reference(bumps(360, centres, strengths)[None], 0.2)[0]
    errors = []
    for n in (40, 120):
        field = bumps(n, centres, strengths)[None]
        values = solvers.problem("rte", shape=(n,)).solve(field, method="product_integration").values
        stride = 360 // n
        errors.append(distance(values, reference[stride // 2 :: stride])[0])
    assert np.log(errors[0] / errors[1]) / np.log(3) > 3.6


def test_reflection():
    problem = solvers.problem("rte", shape=(200,))
    field = random_bumps(200, 3, np.random.default_rng(1))
    values, mirrored = problem.solve(field).values, problem.solve(field[:, ::-1]).values
    np.testing.assert_allclose(mirrored[:, ::-1], values, rtol=1e-7)


def test_particles_balance():
    """What the source emits is absorbed or leaves: mu_a int u + 1/2 int (E_2(tau) + E_2(T - tau)) (mu_s u + 1) = 1."""
    problem = solvers.problem("rte", shape=(640,))
    field = random_bumps(640, 4, np.random.default_rng(2))
    values = problem.solve(field).values
    mu_t = field + 0.2
    tau = (np.cumsum(mu_t, axis=1) - mu_t / 2) / 640
    total = mu_t.mean(axis=1, keepdims=True)
    leaves = ((expn(2, tau) + expn(2, total - tau)) / 2 * (field * values + 1)).mean(axis=1)
    np.testing.assert_allclose(0.2 * values.mean(axis=1) + leaves, 1, atol=2e-5)


def test_residual_of_the_solution_and_of_something_else():
    problem = solvers.problem("rte", shape=(320,))
    field = random_bumps(320, 1, np.random.default_rng(3))
    reference = slab_reference(field, 0.2)
    assert problem.residual(field, reference).max() < 3e-7
    # K(mu_s u + f) of u = 1/mu_a is known: 1/mu_a - (E_2 + E_2) / (2 mu_a).
    x = problem.coordinates()[0]
    expected = np.linalg.norm((expn(2, 0.2 * x) + expn(2, 0.2 * (1 - x))) / 2) / np.sqrt(320)
    flat = problem.residual(np.zeros((1, 320)), np.full((1, 320), 5.0))
    np.testing.assert_allclose(flat, expected, rtol=1e-7)


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_both_methods_agree_on_rough_fields(scale):
    problem = solvers.problem("rte", shape=(96,))
    field = scale * np.random.default_rng(4).exponential(size=(3, 96)) * (np.arange(96) % 7 > 2)
    fast, dense = problem.solve(field), problem.solve(field, method="product_integration")
    assert distance(fast.values, dense.values).max() < 1e-6
    assert (dense.values > 0).all()


def test_fallback_where_gmres_gives_up():
    """An almost purely scattering slab 400 mean free paths thick, against the diffusion equation it then obeys."""
    problem = solvers.problem("rte", shape=(400,), absorption=0.01)
    field = np.stack([np.full(400, 400.0), bumps(400, [0.5], [0.2])])
    solution = problem.solve(field)
    assert solution.fallback.tolist() == [True, False]
    # -u'' / (3 mu_t) + mu_a u = 1 with u = 0 an extrapolation length 0.7104 / mu_t beyond the walls.
    x, k, gap = problem.coordinates()[0], np.sqrt(3 * 0.01 * 400.01), 0.7104 / 400.01
    diffusion = (1 - np.cosh(k * (x - 0.5)) / np.cosh(k * (0.5 + gap))) / 0.01
    np.testing.assert_allclose(solution.values[0, 10:-10], diffusion[10:-10], rtol=3e-3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"absorption": 0.0}, "absorption: 0.0"),
        ({"absorption": float("nan")}, "absorption: nan"),
        ({"absorption": "thin"}, "absorption: 'thin'"),
        ({"sphere_measure": "3pi"}, "sphere_measure: '3pi'"),
        ({"sphere_measure": "2pi"}, "a slab allows '4pi'"),
    ],
)
def test_parameters_that_are_not_allowed(parameters, message):
    with pytest.raises(ValueError, match=message):
        solvers.problem("rte", shape=(32,), **parameters)


def test_fields_that_are_not_allowed():
    problem = solvers.problem("rte", shape=(32,))
    field = np.ones((3, 32))
    field[1, 5] = -0.25
    with pytest.raises(ValueError, match=r"field: negative value -0.25 in sample 1"):
        problem.solve(field)
    field[1, 5] = 33
    with pytest.raises(ValueError, match=r"field: mu_s = 33 in sample 1 .* at most 32 allowed"):
        problem.solve(field)
    with pytest.raises(ValueError, match=r"shape: .* at least 4"):
        solvers.problem("rte", shape=(3,))
    with pytest.raises(ValueError, match="method: 'dense'"):
        problem.solve(np.ones((1, 32)), method="dense")


def test_spec_makes_the_problem_again():
    problem = solvers.problem("rte", shape=(32,), absorption=0.5)
    again = solvers.problem(**{**problem.spec, "shape": tuple(problem.spec["shape"])})
    assert again.spec == problem.spec
    assert problem.solve(np.empty((0, 32))).values.shape == (0, 32)
