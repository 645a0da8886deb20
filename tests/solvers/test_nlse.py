import numpy as np
import pytest
import scipy.linalg

import solvers
from solvers.wells import Wells, draw, synthesise

METHODS = ("fast", "gradient_flow")

ACCURACY = {"fast": 2e-8, "gradient_flow": 1e-11}
"""Relative l2 error allowed of a sample, by method."""


def error(values, expected):
    """Relative l2 error of every sample, (4.1)."""
    difference = np.reshape(values - expected, (len(values), -1))
    return np.linalg.norm(difference, axis=1) / np.linalg.norm(np.reshape(expected, (len(values), -1)), axis=1)


def wells(problem, count, number=2, strength=(1, 4), seed=0, **options):
    spec = Wells(number, strength, (2e-3, 4e-3), (0, 1), **options)
    return synthesise(spec, problem, draw(spec, problem, seed, "test", 0, count))


def dense_ground_state(V):
    """Ground state of -u'' + V u = E u in one dimension, from the dense pseudo-spectral Hamiltonian."""
    N = len(V)
    k = 2 * np.pi * np.fft.fftfreq(N, 1 / N)
    hamiltonian = np.fft.ifft(k[:, None] ** 2 * np.fft.fft(np.eye(N), axis=0), axis=0).real + np.diag(V)
    u = scipy.linalg.eigh((hamiltonian + hamiltonian.T) / 2, subset_by_index=[0, 0])[1][:, 0]
    return u * np.sign(u.sum()) * np.sqrt(N)


def manufactured(problem, beta, amplitudes, energy=3.0):
    """u = exp(f), f a sum of waves, and the V whose ground state it is: E - beta u^2 + Laplacian f + |grad f|^2."""
    axes = np.meshgrid(*problem.coordinates(), indexing="ij")
    f, V = 0.0, energy
    for amplitude, x in zip(amplitudes, axes, strict=True):
        w = 2 * np.pi * (x - 0.1)
        f = f + amplitude * np.cos(w)
        V = V - amplitude * (2 * np.pi) ** 2 * np.cos(w) + (2 * np.pi * amplitude * np.sin(w)) ** 2
    u = np.exp(f)
    u /= np.sqrt(np.mean(u**2))
    return u, V - beta * u**2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1,), (2,), (17,), (320,), (12, 15), (80, 80), (6, 5, 4)])
def test_constant_potential(shape, method):
    solution = solvers.problem("nlse", shape=shape).solve(np.full((3, *shape), -7.25), method=method)
    np.testing.assert_allclose(solution.values, 1.0, atol=1e-13)
    assert not solution.fallback.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shape", "amplitudes"),
    [
        ((320,), (0.8,)),
        ((45,), (-0.5,)),
        ((80, 80), (0.3, -0.4)),
        ((40, 27), (0.2, 0.3)),
        ((20, 24, 21), (0.1, 0.2, -0.2)),
    ],
)
def test_manufactured_solution(shape, amplitudes, method):
    for beta in (0.0, 10.0, 50.0):
        problem = solvers.problem("nlse", shape=shape, beta=beta)
        u, V = manufactured(problem, beta, amplitudes)
        solution = problem.solve(V[None], method=method)
        assert error(solution.values, u[None])[0] < ACCURACY[method]
        assert problem.residual(V[None], u[None])[0] < 1e-10


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("points", [320, 63])
def test_linear_problem_equals_a_dense_eigensolver(points, method):
    """Eight wells, down to ground energies far below -1, where an unshifted backward Euler step is indefinite."""
    problem = solvers.problem("nlse", shape=(points,), beta=0.0)
    V = np.concatenate([wells(problem, 4, 8), wells(problem, 2, 2, strength=(10, 40), separation=0.2)])
    expected = np.stack([dense_ground_state(potential) for potential in V])
    assert error(problem.solve(V, method=method).values, expected).max() < max(ACCURACY[method], 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_linear_separable_problem_is_a_product(method):
    flat, line = solvers.problem("nlse", shape=(40, 40), beta=0.0), solvers.problem("nlse", shape=(40,), beta=0.0)
    solid = solvers.problem("nlse", shape=(16, 14, 15), beta=0.0)
    V = wells(line, 2, 3)
    a, b = (dense_ground_state(potential) for potential in V)
    values = flat.solve((V[0][:, None] + V[1])[None], method=method).values
    assert error(values, np.outer(a, b)[None])[0] < ACCURACY[method]
    parts = [10 * np.cos(2 * np.pi * (x - 0.2)) + 5 * np.sin(4 * np.pi * x) for x in solid.coordinates()]
    a, b, c = (dense_ground_state(part) for part in parts)
    potential = parts[0][:, None, None] + parts[1][:, None] + parts[2]
    values = solid.solve(potential[None], method=method).values
    assert error(values, np.einsum("i,j,k->ijk", a, b, c)[None])[0] < ACCURACY[method]


@pytest.mark.parametrize(
    ("shape", "count"), [((320,), 200), ((80, 80), 12), ((48, 80), 4), ((16,), 50), ((16, 18, 17), 2)]
)
def test_fast_equals_robust(shape, count):
    problem = solvers.problem("nlse", shape=shape)
    V = np.concatenate([wells(problem, count // 2, 2), wells(problem, count // 2, 8)])
    fast = problem.solve(V)
    assert not fast.fallback.any()
    assert error(fast.values, problem.solve(V, method="gradient_flow").values).max() < ACCURACY["fast"]


def test_hardest_printed_fields():
    """Eight wells of full strength in one place, and in two."""
    problem = solvers.problem("nlse", shape=(320,))
    x = problem.coordinates()[0]
    for centres in ([0.5], [0.25, 0.75], [0.4, 0.55]):
        for T in (2e-3, 4e-3):
            peak = 32 / len(centres) / np.sqrt(2 * np.pi * T)
            V = -peak * sum(np.exp(-((x - c - j) ** 2) / (2 * T)) for c in centres for j in (-1, 0, 1))[None]
            expected = problem.solve(V, method="gradient_flow").values
            assert error(problem.solve(V).values, expected)[0] < 1e-7


def test_energy_below_every_trial_state():
    """The ground state minimises mean(|grad u|^2 + V u^2 + beta u^4 / 2) over positive and other states."""
    problem = solvers.problem("nlse", shape=(64,))
    V = wells(problem, 3, 4)
    k = 2 * np.pi * np.fft.fftfreq(64, 1 / 64)

    def energy(u):
        u = u / np.sqrt(np.mean(u**2, axis=1, keepdims=True))
        gradient = np.fft.ifft(1j * k * np.fft.fft(u)).real
        return np.mean(gradient**2 + V * u**2 + 5 * u**4, axis=1)

    u = problem.solve(V, method="gradient_flow").values
    generator, lowest = np.random.default_rng(0), energy(u)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            wave = np.cos(2 * np.pi * (generator.integers(1, 9) * problem.coordinates()[0] + generator.random()))
            assert (energy(u + size * wave) > lowest).all()


@pytest.mark.parametrize(("shape", "shift"), [((320,), (37,)), ((80, 80), (13, 58))])
def test_translation_reflection_and_constants(shape, shift):
    problem = solvers.problem("nlse", shape=shape)
    axes = tuple(range(1, len(shape) + 1))
    V = wells(problem, 4, 4)
    u = problem.solve(V).values
    assert error(problem.solve(np.roll(V, shift, axes)).values, np.roll(u, shift, axes)).max() < ACCURACY["fast"]
    assert error(problem.solve(np.flip(V, axes)).values, np.flip(u, axes)).max() < ACCURACY["fast"]
    moved = problem.solve(V + 1234.5)
    assert error(moved.values, u).max() < ACCURACY["fast"]
    np.testing.assert_allclose(problem.residual(V + 1234.5, u), problem.residual(V, u), rtol=1e-3, atol=1e-12)


def test_axes_can_be_exchanged():
    problem = solvers.problem("nlse", shape=(30, 44))
    V = wells(problem, 3, 3)
    turned = solvers.problem("nlse", shape=(44, 30)).solve(V.transpose(0, 2, 1)).values
    assert error(problem.solve(V).values, turned.transpose(0, 2, 1)).max() < ACCURACY["fast"]


@pytest.mark.parametrize("method", METHODS)
def test_spectral_convergence(method):
    """The error at common points falls faster than any power of the grid spacing."""
    fields = {points: solvers.problem("nlse", shape=(points,)) for points in (16, 28, 56, 112)}
    u = {points: problem.solve(wells(problem, 5, 2), method=method).values for points, problem in fields.items()}
    errors = [error(u[points], u[112][:, :: 112 // points]).max() for points in (16, 28, 56)]
    orders = np.log(np.divide(errors[:-1], errors[1:])) / np.log([28 / 16, 2])
    assert orders[0] > 6
    assert errors[1] < 1e-5
    assert errors[2] < ACCURACY["fast"]


def test_released_fields_need_no_fallback():
    for shape, strength in (((320,), (10, 40)), ((80, 80), (1, 6))):
        problem = solvers.problem("nlse", shape=shape)
        V = wells(problem, 10, 4, strength=strength, separation=0.05, minimum=1.0)
        solution = problem.solve(V)
        assert not solution.fallback.any()
        assert error(solution.values, problem.solve(V, method="gradient_flow").values).max() < 1e-7


def test_fields_out_of_reach_fall_back_and_are_right():
    """Waves that alias away on the coarse grids, beside a field that does not need the robust path."""
    problem = solvers.problem("nlse", shape=(320,), beta=0.0)
    x = problem.coordinates()[0]
    V = np.stack([50 * np.cos(2 * np.pi * 64 * x), -5 * np.cos(2 * np.pi * x), 2000 * np.cos(2 * np.pi * 128 * x)])
    solution = problem.solve(V)
    assert solution.fallback.tolist() == [True, False, True]
    expected = np.stack([dense_ground_state(potential) for potential in V])
    assert error(solution.values, expected).max() < 1e-9


@pytest.mark.parametrize("shape", [(320,), (40, 40)])
def test_rough_and_deep_fields_are_right(shape):
    problem = solvers.problem("nlse", shape=shape)
    generator = np.random.default_rng(5)
    V = np.concatenate([generator.normal(size=(2, *shape)) * 30, wells(problem, 2, 3, strength=(100, 400))])
    solution = problem.solve(V)
    assert error(solution.values, problem.solve(V, method="gradient_flow").values).max() < 1e-7
    assert solution.values.min() > -1e-4


def test_a_field_the_grid_cannot_resolve_is_refused():
    problem = solvers.problem("nlse", shape=(16,))
    V = np.random.default_rng(0).normal(size=(6, 16)) * 1e4
    with pytest.raises(solvers.ConvergenceError, match=r"nlse: .* did not converge"):
        problem.solve(V)


def test_residual_sees_what_is_wrong():
    problem = solvers.problem("nlse", shape=(64,), beta=0.0)
    V = wells(problem, 1, 2)
    u = dense_ground_state(V[0])[None]
    x = problem.coordinates()[0]
    assert problem.residual(V, u)[0] < 1e-12
    assert problem.residual(V, 1.01 * u)[0] == pytest.approx(1.01**2 - 1, rel=1e-6)
    assert problem.residual(V, u + 1e-4 * np.cos(2 * np.pi * 3 * x))[0] > 1e-5
    assert problem.residual(V, -u)[0] == np.inf
    assert problem.residual(np.zeros((1, 64)), 1e-3 + np.sqrt(2) * np.cos(2 * np.pi * x)[None])[0] == np.inf
    assert problem.residual(V, np.full((1, 64), np.nan))[0] == np.inf


def test_residual_in_two_dimensions_by_definition():
    problem = solvers.problem("nlse", shape=(9, 12))
    generator = np.random.default_rng(2)
    u, V = 1 + 0.1 * generator.normal(size=(2, 9, 12)), generator.normal(size=(2, 9, 12))
    kx, ky = (2 * np.pi * np.fft.fftfreq(n, 1 / n) for n in (9, 12))
    kinetic = np.fft.ifft2((kx[:, None] ** 2 + ky**2) * np.fft.fft2(u)).real

    def norm(values):
        return np.sqrt(np.mean(values**2, axis=(1, 2)))

    E = np.mean(u * (kinetic + (V + 10 * u**2) * u), axis=(1, 2)) / norm(u) ** 2
    potential = (V + 10 * u**2 - E[:, None, None]) * u
    scale = norm(kinetic) + norm(potential) + (2 * np.pi) ** 2 * norm(u)
    expected = norm(kinetic + potential) / scale + np.abs(norm(u) ** 2 - 1)
    np.testing.assert_allclose(problem.residual(V, u), expected, rtol=1e-10)


def test_samples_do_not_depend_on_their_batch():
    problem = solvers.problem("nlse", shape=(320,))
    V = wells(problem, 900, 2)
    together = problem.solve(V)
    assert len(solvers.problem("nlse", shape=(320,)).solve(V[:0]).values) == 0
    for sample in (0, 799, 800, 899):
        assert error(problem.solve(V[sample : sample + 1]).values, together.values[sample : sample + 1])[0] < 1e-8


def test_spec_makes_the_problem_again():
    problem = solvers.problem("nlse", shape=(40, 30), beta=7)
    assert problem.spec == {"name": "nlse", "shape": [40, 30], "beta": 7.0}
    assert solvers.problem(**problem.spec).spec == problem.spec


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        ("shape", {"shape": (4, 4, 4, 4)}),
        ("beta", {"shape": (320,), "beta": -1.0}),
        ("beta", {"shape": (320,), "beta": float("nan")}),
        ("beta", {"shape": (320,), "beta": "strong"}),
        ("gamma", {"shape": (320,), "gamma": 1.0}),
    ],
)
def test_bad_parameters_are_named(word, arguments):
    with pytest.raises(ValueError, match=f"^{word}: [^\n]*$"):
        solvers.problem("nlse", **arguments)


@pytest.mark.parametrize(
    ("word", "field"),
    [("320", np.zeros((1, 300))), ("NaN", np.full((1, 320), np.nan)), ("dtype", np.zeros((1, 320), dtype=complex))],
)
def test_bad_fields_are_named(word, field):
    with pytest.raises(ValueError, match=f"^field: [^\n]*{word}"):
        solvers.problem("nlse", shape=(320,)).solve(field)


@pytest.mark.parametrize("shape", [(320,), (80, 80), (45,), (48, 60), (12, 16, 14)])
def test_recorded_residual_is_that_of_the_values(shape):
    """Interpolated from the band, with the Laplacian, it is what transforms on the full grid give."""
    problem = solvers.problem("nlse", shape=shape)
    V = wells(problem, 4, 4)
    solution = problem.solve(V)
    assert not solution.fallback.any()
    np.testing.assert_allclose(solution.residual, problem.residual(V, solution.values), rtol=1e-4, atol=1e-11)
