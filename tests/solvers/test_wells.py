import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import solvers
from solvers.problem import Problem
from solvers.wells import Wells, draw, synthesise

ROUNDING = 1e-13

PRINTED = {"strength": (1, 4), "variance": (2e-3, 4e-3), "centre": (0, 1)}


def grid(shape, periodic=True, lower=0.0, length=1.0):
    """A stand-in for a problem: all that fields ask of it is its grid."""
    problem = SimpleNamespace(shape=shape, periodic=periodic, lower=lower, length=length)
    problem.coordinates = lambda: Problem.coordinates(problem)
    return problem


def direct(problem, drawn, amplitude, sign):
    """Sum the Gaussians of (4.4) point by point, with every image within two periods."""
    points = np.stack(np.meshgrid(*problem.coordinates(), indexing="ij"), axis=-1)
    dimension = len(problem.shape)
    images = list(itertools.product(range(-2, 3), repeat=dimension)) if problem.periodic else [(0,) * dimension]
    field = np.zeros((len(drawn.variance), *problem.shape))
    for sample, variance in enumerate(drawn.variance):
        for strength, centre in zip(drawn.strength[sample], drawn.centre[sample], strict=True):
            for image in images:
                square = ((points - centre - problem.length * np.array(image)) ** 2).sum(axis=-1)
                field[sample] += sign * strength * amplitude(variance) * np.exp(-square / (2 * variance))
    return field


FIELDS = {
    "nlse 1D": (grid((320,)), Wells(2, **PRINTED), lambda T: (2 * np.pi * T) ** -0.5),
    "nlse 1D odd": (grid((63,)), Wells(3, **PRINTED), lambda T: (2 * np.pi * T) ** -0.5),
    "nlse 2D": (grid((40, 24)), Wells(8, **PRINTED), lambda T: (2 * np.pi * T) ** -0.5),
    "nlse 3D": (grid((12, 16, 14)), Wells(2, **PRINTED, amplitude="normalised"), lambda T: (2 * np.pi * T) ** -1.5),
    "rte 1D": (
        grid((320,), periodic=False),
        Wells(4, (0.1, 0.3), (2e-3, 4e-3), (0.2, 0.8), sign=1),
        lambda T: (2 * np.pi * T) ** -0.5,
    ),
    "rte 2D": (
        grid((24, 40), periodic=False),
        Wells(2, (0.01, 0.03), (2e-3, 4e-3), (0.2, 0.8), sign=1, amplitude="normalised"),
        lambda T: (2 * np.pi * T) ** -1,
    ),
    "kohn_sham 1D": (
        grid((320,), lower=-1.0, length=2.0),
        Wells(8, (0.8, 1.2), (0.0025, 0.0025), (-1, 1), amplitude="plain", separation=0.1),
        lambda T: 1.0,
    ),
    "kohn_sham 2D": (
        grid((32, 32), lower=-1.0, length=2.0),
        Wells(2, (0.8, 1.2), (0.04, 0.04), (-1, 1), amplitude="plain", separation=0.4),
        lambda T: 1.0,
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_synthesis_equals_the_direct_sum(name):
    problem, spec, amplitude = FIELDS[name]
    drawn = draw(spec, problem, 3, "train", 10, 14)
    expected = direct(problem, drawn, amplitude, spec.sign)
    assert np.abs(synthesise(spec, problem, drawn) - expected).max() < ROUNDING * np.abs(expected).max()


def test_many_samples_equal_one_by_one():
    problem, spec = grid((80, 80)), Wells(8, **PRINTED)
    together = synthesise(spec, problem, draw(spec, problem, 0, "test", 0, 450))
    for sample in (0, 203, 204, 205, 449):
        alone = synthesise(spec, problem, draw(spec, problem, 0, "test", sample, sample + 1))
        assert np.abs(together[sample] - alone[0]).max() < ROUNDING * np.abs(alone).max()


def test_minimum_shifts_by_a_constant():
    problem = grid((320,))
    printed, shifted = Wells(2, **PRINTED), Wells(2, **PRINTED, minimum=1.0)
    drawn = draw(printed, problem, 0, "train", 0, 5)
    difference = synthesise(shifted, problem, drawn) - synthesise(printed, problem, drawn)
    assert np.ptp(difference, axis=1).max() < ROUNDING * np.abs(difference).max()
    np.testing.assert_allclose(synthesise(shifted, problem, drawn).min(axis=1), 1.0, rtol=ROUNDING)


@pytest.mark.parametrize("separation", [0.0, 0.06])
def test_a_sample_depends_on_seed_split_and_index_alone(separation):
    problem, spec = grid((320,)), Wells(5, **PRINTED, separation=separation)

    def numbers(seed, split, start, stop):
        drawn = draw(spec, problem, seed, split, start, stop)
        flat = [part.reshape(stop - start, -1) for part in (drawn.strength, drawn.centre, drawn.variance)]
        return np.concatenate(flat, axis=1)

    whole = numbers(7, "train", 0, 200)
    np.testing.assert_array_equal(whole, numbers(7, "train", 0, 200))
    np.testing.assert_array_equal(whole[:50], numbers(7, "train", 0, 50))
    pieces = [numbers(7, "train", start, min(start + 33, 200)) for start in range(0, 200, 33)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    others = [numbers(7, split, 0, 200) for split in ("validation", "test")] + [numbers(8, "train", 0, 200)]
    everything = np.concatenate([whole, *others]).ravel()
    assert len(np.unique(everything)) == everything.size


def test_draws_have_the_moments_of_uniform_laws():
    problem, count = grid((80, 80)), 40_000
    spec = Wells(3, (1, 4), (2e-3, 4e-3), (0.2, 0.8))
    drawn = draw(spec, problem, 1, "train", 0, count)
    columns = [*drawn.strength.T, *drawn.centre.reshape(count, -1).T, drawn.variance]
    bounds = [(1, 4)] * 3 + [(0.2, 0.8)] * 6 + [(2e-3, 4e-3)]
    unit = np.stack([(column - low) / (high - low) for column, (low, high) in zip(columns, bounds, strict=True)])
    assert unit.min() >= 0
    assert unit.max() < 1
    # Five standard errors of the mean, the variance and the correlation of uniform numbers.
    assert np.abs(unit.mean(axis=1) - 1 / 2).max() < 5 * np.sqrt(1 / 12 / count)
    assert np.abs(unit.var(axis=1) - 1 / 12).max() < 5 * np.sqrt(1 / 180 / count)
    assert np.abs(np.corrcoef(unit) - np.eye(len(unit))).max() < 5 / np.sqrt(count)


@pytest.mark.parametrize(
    ("problem", "metric"),
    [
        (grid((320,), lower=-1.0, length=2.0), "euclidean"),
        (grid((64, 64), lower=-1.0, length=2.0), "euclidean"),
        (grid((80, 80), periodic=False), "per_axis"),
    ],
)
def test_centres_keep_their_separation(problem, metric):
    centre = (problem.lower, problem.lower + problem.length)
    spec = Wells(4, (1, 1), (0.01, 0.01), centre, separation=0.15, separation_metric=metric)
    centres = draw(spec, problem, 0, "train", 0, 500).centre
    gap = np.abs(centres[:, :, None] - centres[:, None])
    if problem.periodic:
        gap = np.minimum(gap, problem.length - gap)
    distance = np.sqrt((gap**2).sum(axis=-1)) if metric == "euclidean" else gap.min(axis=-1)
    pairs = distance[:, *np.triu_indices(4, k=1)]
    assert pairs.min() >= 0.15
    assert pairs.min() < 0.16


def test_separated_centres_follow_the_conditional_law():
    """Two centres on a circle at least s apart: their distance is uniform on [s, L / 2]."""
    problem = grid((320,))
    spec = Wells(2, **PRINTED, separation=0.3)
    centres = draw(spec, problem, 0, "train", 0, 20_000).centre[..., 0]
    gap = np.abs(centres[:, 0] - centres[:, 1])
    unit = (np.minimum(gap, 1 - gap) - 0.3) / 0.2
    assert abs(unit.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / len(unit))
    assert abs(unit.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / len(unit))


def test_an_impossible_separation_is_an_error():
    spec = Wells(8, **PRINTED, separation=0.2)
    with pytest.raises(ValueError, match=r"separation: 0.2 given, not kept by 8 wells of sample 4"):
        draw(spec, grid((320,)), 0, "train", 4, 6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wells", 0),
        ("wells", 2.5),
        ("strength", (4, 1)),
        ("strength", 3),
        ("variance", (0, 1)),
        ("variance", (1, float("nan"))),
        ("centre", (0, float("inf"))),
        ("amplitude", "tall"),
        ("sign", 0),
        ("separation", -1),
        ("separation_metric", "manhattan"),
        ("minimum", float("nan")),
    ],
)
def test_bad_values_are_named(key, value):
    with pytest.raises(ValueError, match=f"^{key}: .* given, .* allowed$"):
        Wells(**{"wells": 2, **PRINTED, key: value})


@pytest.mark.parametrize(
    ("word", "arguments"),
    [("split", (0, "training", 0, 1)), ("start", (0, "train", 3, 1)), ("seed", (-1, "train", 0, 1))],
)
def test_bad_draws_are_named(word, arguments):
    with pytest.raises(ValueError, match=f"^{word}: .* allowed$"):
        draw(Wells(2, **PRINTED), grid((320,)), *arguments)


def test_a_grid_too_coarse_for_the_wells_is_an_error():
    problem = solvers.problem("nlse", shape=(10,))
    spec = Wells(2, **PRINTED)
    with pytest.raises(ValueError, match=r"^shape: 10 points .* at least 12 allowed$"):
        synthesise(spec, problem, draw(spec, problem, 0, "train", 0, 1))
