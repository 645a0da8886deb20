"""Problems that are not this project's: found by entry point and by dotted name, refused in one line."""

import subprocess
import sys
from importlib import invalidate_caches

import numpy as np
import pytest

import solvers
from solvers import registry
from solvers.specification import Specification

OWN = """
from solvers.nlse import NonlinearSchroedinger


class Own(NonlinearSchroedinger):
    name = {name!r}


def problem(shape, **parameters):
    return Own(shape, **parameters)
"""
FIELD = {"wells": 2, "sign": 1, "strength": [1, 4], "variance": [0.002, 0.004], "centre": [0, 1]}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make an installed package of one module, ``own_physics.waves``, whose entry point is ``waves``."""

    def make(text):
        (tmp_path / "own_physics").mkdir()
        (tmp_path / "own_physics/__init__.py").write_text("")
        (tmp_path / "own_physics/waves.py").write_text(text)
        metadata = tmp_path / "own_physics-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-physics\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[mnn_h2.problems]\nwaves = own_physics.waves\n")
        monkeypatch.syspath_prepend(tmp_path)
        invalidate_caches()

    yield make
    for name in [name for name in sys.modules if name.startswith("own_physics")]:
        del sys.modules[name]


def test_an_entry_point_is_a_problem(package):
    package(OWN.format(name="waves"))
    made = solvers.problem("waves", shape=(40,), beta=2.0)
    assert registry.module_of("waves") == "own_physics.waves"
    assert made.spec == {"name": "waves", "shape": [40], "beta": 2.0}
    assert solvers.problem(**made.spec).spec == made.spec
    field = np.zeros((1, 40))
    np.testing.assert_array_equal(
        made.solve(field).values, solvers.problem("nlse", (40,), beta=2.0).solve(field).values
    )


def test_a_dotted_name_finds_the_same_problem(package):
    package(OWN.format(name="waves"))
    assert solvers.problem("own_physics.waves", shape=(40,)).spec["name"] == "waves"


def test_a_problem_s_name_must_lead_back_to_it(package):
    package(OWN.format(name="nlse"))
    with pytest.raises(ValueError, match=r"^name: 'waves' given, its problem calls itself 'nlse'"):
        solvers.problem("waves", shape=(40,))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("heat", "", "'nlse', 'rte', 'kohn_sham', 'waves' or the dotted name"),
        ("own_physics.absent", "", "own_physics.absent cannot be loaded (No module named"),
        ("waves", "import nothing_of_this_name", "own_physics.waves cannot be loaded (No module named"),
        ("waves", "def problem(:", "own_physics.waves cannot be loaded (invalid syntax"),
        ("waves", "", "own_physics.waves has no function problem(shape, **parameters)"),
        ("../waves", "", "'../waves' given"),
        (".waves", "", "'.waves' given"),
    ],
)
def test_what_cannot_be_found_is_told_in_one_line(package, name, text, words):
    package(text)
    with pytest.raises(ValueError, match=r"^name: ") as error:
        solvers.problem(name, shape=(40,))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_does_not_load_the_others():
    program = "import sys, solvers; solvers.problem('nlse', (40,)); print([m for m in sys.modules if 'kohn' in m])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


@pytest.fixture
def screened():
    return solvers.problem("examples.screened_poisson", shape=(64,), screening=3.0)


def manufactured(x, k):
    """A positive periodic u, and the a for which it is the solution: a = (1 + u'') / u - k^2, smooth."""
    phase = 2 * np.pi * x
    u = 0.1 + 2e-4 * np.cos(phase) + 1e-4 * np.sin(2 * phase)
    second = -4 * np.pi**2 * (2e-4 * np.cos(phase) + 4e-4 * np.sin(2 * phase))
    return u, (1 + second) / u - k**2


@pytest.mark.parametrize("method", ["fast", "dense"])
def test_the_screened_poisson_equation_has_the_solution_it_was_made_from(screened, method):
    u, a = manufactured(screened.coordinates()[0], 3.0)
    solution = screened.solve(a[None], method)
    assert a.min() > 0
    assert not solution.fallback.any()
    np.testing.assert_allclose(solution.values[0], u, rtol=1e-9)


def test_a_layered_medium_in_two_and_three_dimensions_is_the_line(screened):
    line = manufactured(screened.coordinates()[0], 3.0)[1][::4]
    expected = solvers.problem("examples.screened_poisson", (16,)).solve(line[None]).values[0]
    for shape in ((16, 16), (16, 16, 16)):
        layers = np.broadcast_to(line, shape)
        found = solvers.problem("examples.screened_poisson", shape).solve(layers[None])
        np.testing.assert_allclose(found.values[0], np.broadcast_to(expected, shape), rtol=1e-9)


def test_constant_screening_takes_one_step(screened):
    solution = screened.solve(np.full((1, 64), 7.0))
    np.testing.assert_allclose(solution.values, 1 / 16, rtol=1e-14)
    assert solution.iterations[0] == 1


def test_the_bound_on_the_steps_holds_and_the_methods_agree(screened):
    specification = Specification.make(screened.spec, FIELD | {"wells": 4}, seed=1, split="train")
    field = specification.fields(specification.draw(0, 32))
    fast, dense = screened.solve(field), screened.solve(field, "dense")
    assert not fast.fallback.any()
    assert fast.residual.max() < screened.tolerance / 10
    np.testing.assert_allclose(fast.values, dense.values, rtol=1e-8)


def test_what_is_no_contraction_falls_back(screened):
    field = -12 + 30 * np.cos(2 * np.pi * screened.coordinates()[0])[None]
    solution = screened.solve(field)
    assert solution.fallback.all()
    assert solution.residual.max() < 1e-8


def test_mistakes_in_its_coefficients(screened):
    for value in (0, -1.0, "3", float("nan")):
        with pytest.raises(ValueError, match=r"^screening: "):
            solvers.problem("examples.screened_poisson", shape=(16,), screening=value)
