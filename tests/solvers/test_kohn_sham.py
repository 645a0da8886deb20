import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.special

import solvers
from solvers import ConvergenceError
from solvers.wells import Wells, draw, synthesise

FAST = 3e-8
"""Error of the fast path on printed fields with an ordinary gap."""
ROBUST = 1e-10
DENSE = 1e-9
"""Error of a dense eigensolve of the full Hamiltonian, whose norm is 1e5, over an ordinary gap."""


def kohn_sham(*shape, n=2):
    return solvers.problem("kohn_sham", shape=shape, n_electrons=n)


def wells(problem, count, seed=0):
    """Fields of (4.16)."""
    sigma = 0.05 if len(problem.shape) == 1 else 0.2
    law = Wells(
        wells=problem.n_electrons,
        strength=(0.8, 1.2),
        variance=(sigma**2, sigma**2),
        centre=(-1, 1),
        amplitude="plain",
        separation=2 * sigma,
    )
    return synthesise(law, problem, draw(law, problem, seed, "test", 0, count))


def gaussian(x, centre, sigma=0.05):
    return sum(np.exp(-((x - centre - image) ** 2) / (2 * sigma**2)) for image in (-2, 0, 2))


def dense(potential):
    """All states of the full Hamiltonian: energies and orthonormal vectors, by scipy alone."""
    shape, axes = potential.shape, tuple(range(1, potential.ndim + 1))
    symbol = sum(np.meshgrid(*[0.5 * (np.pi * np.fft.fftfreq(n, 1 / n)) ** 2 for n in shape], indexing="ij"))
    unit = np.eye(potential.size).reshape(-1, *shape)
    kinetic = np.fft.ifftn(symbol * np.fft.fftn(unit, axes=axes), axes=axes).real.reshape(len(unit), -1)
    return scipy.linalg.eigh(kinetic + np.diag(potential.ravel()))


def dense_density(potential, n):
    vectors = dense(potential)[1][:, :n].reshape(*potential.shape, n)
    return np.sum(vectors**2, axis=-1) * potential.size / 2**potential.ndim


def error(values, exact):
    axes = tuple(range(1, values.ndim))
    return np.sqrt(np.sum((values - exact) ** 2, axis=axes) / np.sum(np.square(exact), axis=axes))


@pytest.mark.parametrize("method", ["fast", "eigensolver"])
@pytest.mark.parametrize(
    ("shape", "n"), [((320,), 1), ((320,), 5), ((41,), 3), ((64, 64), 5), ((20, 33), 1), ((12, 12, 12), 7), ((4,), 3)]
)
def test_free_particles_in_closed_shells_have_uniform_density(shape, n, method):
    problem = kohn_sham(*shape, n=n)
    solution = problem.solve(np.stack([np.zeros(shape), np.full(shape, -7.25)]), method)
    np.testing.assert_allclose(solution.values, n / 2.0 ** len(shape), rtol=1e-12)
    assert solution.residual.max() < 1e-9


@pytest.mark.parametrize("method", ["fast", "eigensolver"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("strength", [0.7, 3.0])
def test_cosine_potential_gives_mathieu_functions(strength, n, method):
    problem = kohn_sham(320, n=n)
    (x,) = problem.coordinates()
    q, degrees = 4 * strength / np.pi**2, 90 * x
    functions = [scipy.special.mathieu_cem(0, q, degrees)[0]]
    functions += [scipy.special.mathieu_sem(2, q, degrees)[0], scipy.special.mathieu_cem(2, q, degrees)[0]]
    exact = sum(f**2 / np.mean(f**2) for f in functions[:n]) / 2
    solution = problem.solve(strength * np.cos(np.pi * x)[None], method)
    assert error(solution.values, exact[None]).max() < solution.residual + 1e-9


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_both_methods_match_a_dense_solve_in_1d(n):
    problem = kohn_sham(320, n=n)
    fields = wells(problem, 6)
    exact = np.stack([dense_density(field, n) for field in fields])
    fast, robust = problem.solve(fields), problem.solve(fields, "eigensolver")
    assert not fast.fallback.any()
    assert error(fast.values, exact).max() < FAST
    assert error(robust.values, exact).max() < DENSE


def test_separable_potential_in_2d_gives_products_of_1d_states():
    problem = kohn_sham(36, 30, n=2)
    x, y = problem.coordinates()
    along_x, along_y = -0.9 * gaussian(x, 0.31, 0.2), -1.1 * gaussian(y, -0.4, 0.2)
    (ex, ux), (ey, uy) = dense(along_x), dense(along_y)
    order = np.argsort(np.add.outer(ex, ey), axis=None)[:2]
    states = [np.outer(ux[:, i], uy[:, j]) for i, j in zip(*np.unravel_index(order, (36, 30)), strict=True)]
    exact = sum(state**2 for state in states)[None] * 36 * 30 / 4
    for method, tolerance in (("fast", FAST), ("eigensolver", ROBUST)):
        solution = problem.solve(along_x[None, :, None] + along_y, method)
        assert error(solution.values, exact).max() < tolerance


@pytest.mark.parametrize(("shape", "n"), [((16, 16), 2), ((12, 9), 4), ((7, 6, 8), 2), ((24,), 3)])
@pytest.mark.parametrize("depth", [0.5, 40.0])
def test_rough_fields_match_a_dense_solve(shape, n, depth):
    problem = kohn_sham(*shape, n=n)
    fields = depth * np.random.default_rng(7).standard_normal((3, *shape))
    exact = np.stack([dense_density(field, n) for field in fields])
    solution = problem.solve(fields)
    assert np.all(error(solution.values, exact) < np.maximum(2 * solution.residual, 1e-10))
    assert error(problem.solve(fields, "eigensolver").values, exact).max() < ROBUST


@pytest.mark.parametrize(("shape", "n"), [((320,), 4), ((64, 64), 2)])
def test_shift_translation_and_reflection_carry_over(shape, n):
    problem = kohn_sham(*shape, n=n)
    fields = wells(problem, 4)
    axes = tuple(range(1, fields.ndim))
    plain = problem.solve(fields)
    for change in (
        lambda f: np.roll(f, 17, axis=axes),
        lambda f: np.flip(f, axis=axes),
        lambda f: np.roll(f, 1, axis=1),
    ):
        changed = problem.solve(change(fields))
        assert error(changed.values, change(plain.values)).max() < FAST
    assert error(problem.solve(fields + 1e3).values, plain.values).max() < FAST


@pytest.mark.parametrize(("shape", "n", "count"), [((320,), 2, 40), ((320,), 8, 40), ((64, 64), 2, 8)])
def test_residual_bounds_the_error_and_charge_is_exact(shape, n, count):
    problem = kohn_sham(*shape, n=n)
    fields = wells(problem, count, seed=3)
    solution = problem.solve(fields)
    exact = problem.solve(fields, "eigensolver")
    errors = error(solution.values, exact.values)
    assert np.all(errors < solution.residual)
    assert np.all(solution.residual < 1e4 * np.maximum(errors, 1e-12))
    assert errors.max() < FAST
    assert solution.values.min() > 0
    for values in (solution.values, exact.values):
        charge = values.mean(axis=tuple(range(1, values.ndim))) * 2 ** len(shape)
        np.testing.assert_allclose(charge, n, rtol=1e-14)


def mirrored_wells(x, gap):
    """Two equal wells at +-c for which the second and third state, of opposite parity, are ``gap`` apart."""

    def field(x, c):
        return -gaussian(x, c) - gaussian(x, -c)

    def splitting(c):
        coarse = -1 + np.arange(160) / 80
        energies, vectors = dense(field(coarse, c))
        mirrored = np.roll(vectors[::-1], 1, axis=0)
        parity = np.sum(vectors[:, 1] * mirrored[:, 1])
        return (energies[2] - energies[1]) * np.sign(parity) - gap

    return field(x, scipy.optimize.brentq(splitting, 0.2, 0.3, xtol=1e-14))


@pytest.mark.parametrize("gap", [2e-3, 1e-4, 1e-6])
def test_small_gaps_are_resolved(gap):
    problem = kohn_sham(320, n=2)
    field = mirrored_wells(problem.coordinates()[0], gap)
    field = field + 0.1 * gap * np.cos(2 * np.pi * (problem.coordinates()[0] - 0.1))
    solution, exact = problem.solve(field[None]), problem.solve(field[None], "eigensolver")
    assert 0.9 * gap < np.diff(dense(field)[0][1:3])[0] < 1.2 * gap
    assert np.all(error(solution.values, exact.values) < solution.residual + exact.residual)
    assert error(solution.values, exact.values).max() < 1e-6
    assert error(exact.values, dense_density(field, 2)[None]).max() < 1e-11 / gap


def test_degenerate_fermi_level_is_refused_and_named():
    problem = kohn_sham(320, n=2)
    fields = wells(problem, 3)
    fields[1] = 0.0
    with pytest.raises(ConvergenceError, match=r"rows \[1\].*gap above the n_electrons lowest states") as caught:
        problem.solve(fields)
    assert caught.value.indices.tolist() == [1]
    assert "\n" not in str(caught.value)


def test_fields_beyond_reach_fall_back_and_are_right():
    problem = kohn_sham(320, n=2)
    fields = wells(problem, 5)
    fields[1] *= 40
    fields[3] = 30 * np.random.default_rng(1).standard_normal(320)
    solution = problem.solve(fields)
    assert solution.fallback.tolist() == [False, True, False, True, False]
    exact = np.stack([dense_density(field, 2) for field in fields])
    assert error(solution.values, exact).max() < FAST


def test_deeper_wells_are_never_silently_wrong():
    """On the way from printed depth to forty times as deep the fast path vouches only for what is right."""
    for problem in (kohn_sham(320, n=4), kohn_sham(32, 32, n=2)):
        fields = wells(problem, 8) * np.geomspace(1, 40, 8).reshape(-1, *[1] * len(problem.shape))
        solution, exact = problem.solve(fields), problem.solve(fields, "eigensolver")
        assert np.all(error(solution.values, exact.values) <= solution.residual + exact.residual)
        assert solution.fallback[-1]
        assert not solution.fallback[0]


@pytest.mark.parametrize("harmonic", [15, 30, 36, 50, 90, 150, 160])
def test_fine_structure_is_carried_by_finer_bands(harmonic):
    problem = kohn_sham(320, n=2)
    (x,) = problem.coordinates()
    field = (-gaussian(x, 0.2) - 0.9 * gaussian(x, 0.9) + 0.8 * np.cos(np.pi * harmonic * x))[None]
    solution, exact = problem.solve(field), problem.solve(field, "eigensolver")
    assert not solution.fallback.any()
    assert np.all(error(solution.values, exact.values) < solution.residual + exact.residual)
    assert error(exact.values, dense_density(field[0], 2)[None]).max() < DENSE


def test_three_dimensions():
    problem = kohn_sham(16, 16, 16, n=2)
    x, y, z = np.meshgrid(*problem.coordinates(), indexing="ij")
    fields = np.stack(
        [
            -gaussian(x, a, 0.3) * gaussian(y, b, 0.3) * gaussian(z, c, 0.3) - 0.2 * gaussian(x, b, 0.4)
            for a, b, c in [(0.0, 0.3, -0.5), (0.7, -0.2, 0.1)]
        ]
    )
    fast, robust = problem.solve(fields), problem.solve(fields, "eigensolver")
    assert not fast.fallback.any()
    assert np.all(error(fast.values, robust.values) < fast.residual + robust.residual)
    assert fast.residual.max() < 1e-6


def test_a_sample_does_not_depend_on_its_batch():
    problem = kohn_sham(320, n=2)
    fields = wells(problem, 300)
    together = problem.solve(fields)
    alone = np.concatenate([problem.solve(fields[i : i + 1]).values for i in (0, 130, 299)])
    assert error(together.values[[0, 130, 299]], alone).max() < FAST


def test_residual_of_a_wrong_density_is_its_error():
    problem = kohn_sham(320, n=2)
    fields = wells(problem, 3)
    values = problem.solve(fields).values
    wrong = values * (1 + 1e-3 * np.cos(np.pi * problem.coordinates()[0]))
    assert problem.residual(fields, values).max() < FAST
    np.testing.assert_allclose(problem.residual(fields, wrong), error(wrong, values), rtol=1e-4)


@pytest.mark.parametrize("n", [0, 320, -1, 1.5, True, "2"])
def test_impossible_numbers_of_electrons_are_refused(n):
    with pytest.raises(ValueError, match=r"^n_electrons: .* given, an integer from 1 to 319 allowed$"):
        kohn_sham(320, n=n)


def test_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="beta: not a parameter of kohn_sham"):
        solvers.problem("kohn_sham", shape=(320,), beta=10.0)


def test_spec_makes_the_problem_again():
    problem = kohn_sham(64, 64, n=3)
    assert problem.spec == {"name": "kohn_sham", "shape": [64, 64], "n_electrons": 3}
    assert solvers.problem(**problem.spec).spec == problem.spec
