"""Suggestions for data of one's own: what is measured is known beforehand."""

import subprocess
import sys

import numpy as np
import pytest

from mnn import suggest
from mnn.data import FieldSet

POINTS = np.arange(128) / 128
GREEN = 1 / (1 + np.arange(65.0) ** 2)


def fields(count=200):
    """Smooth periodic fields without a preferred position."""
    generator = np.random.default_rng(1)
    phase = np.arange(1, 9)[:, None] * POINTS + generator.random((count, 8, 1))
    return (generator.standard_normal((count, 8, 1)) * np.cos(2 * np.pi * phase)).sum(axis=1)


def convolve(v):
    return np.fft.irfft(np.fft.rfft(v) * GREEN)


def lines(inputs, outputs, periodic=None):
    """The four lines for samples in memory, by their first word."""
    grid = {} if periodic is None else {"periodic": periodic}
    found = suggest.suggest_for(FieldSet(inputs, outputs, grid, ""))
    return dict(line.split(": ", 1) for line in found)


@pytest.mark.parametrize(
    ("points", "pairs", "best"),
    [
        (320, [(2, 80), (3, 40), (4, 20), (5, 10), (6, 5)], (6, 5)),
        (80, [(2, 20), (3, 10), (4, 5)], (4, 5)),
        (64, [(2, 16), (3, 8), (4, 4), (5, 2)], (4, 4)),
        (8, [(2, 2)], (2, 2)),
        (4, [], None),
        (321, [], None),
    ],
)
def test_levels_from_the_number_of_points(points, pairs, best):
    assert suggest.levels_of(points) == pairs
    assert suggest.best_levels(points) == best


def test_the_number_of_points_suggested_is_near_and_fits():
    assert [suggest.nearest_points(n) for n in (321, 300, 100, 1000)] == [320, 320, 96, 1024]
    for points in range(16, 2000):
        nearest = suggest.nearest_points(points)
        assert abs(nearest - points) <= points / 8
        assert 2 <= suggest.best_levels(nearest)[1] <= suggest.WIDEST


def test_the_seam_of_what_is_periodic_does_not_show():
    v = fields()
    assert suggest.seam(v) < 1.1
    assert suggest.seam(v[:, :, None] * v[::-1, None, :]) < 1.1
    assert suggest.seam(v[:, :, None] * (POINTS * v)[:, None, :]) > 10
    assert suggest.seam(v * POINTS) > 10  # a jump
    assert suggest.seam(v[:, :1] * POINTS * (1 - POINTS)) > 10  # a kink
    assert suggest.seam(np.ones((3, 16))) == 0


MAPS = {
    "a convolution": (convolve, True),
    "its square": (lambda v: convolve(v) ** 2, True),
    "its product with the input": (lambda v: v * convolve(v), True),
    "a gain that depends on position": (lambda v: (1 + 0.5 * np.cos(2 * np.pi * POINTS)) * convolve(v), False),
    "a gain before it": (lambda v: convolve((1 + 0.5 * np.cos(2 * np.pi * POINTS)) * v), False),
    "a source of its own": (lambda v: convolve(v) + np.cos(2 * np.pi * POINTS), False),
}


@pytest.mark.parametrize("name", MAPS)
def test_translation_invariance_is_measured(name):
    function, invariant = MAPS[name]
    found = lines(fields(), function(fields()))
    assert found["periodic"].startswith("yes, measured")
    assert found["translation invariant"].startswith("yes" if invariant else "no")
    layers = "cnn" if invariant else "mix"
    rest = "padding: periodic, levels: 5, rank: 6, depth: 5"
    assert found["network"] == f"{{architecture: mnn-h2, layers: {layers}, {rest}}}"


def test_bumps_in_the_middle_do_not_hide_an_invariant_map():
    v = fields() * np.exp(-((POINTS - 0.5) ** 2) / 0.02)
    assert lines(v, convolve(v))["translation invariant"].startswith("yes")


def test_the_errors_told_are_those_of_the_maps():
    v = fields(1000)
    u = (1 + 0.5 * np.cos(2 * np.pi * POINTS)) * convolve(v)
    invariant, free = suggest.dependence_on_position(FieldSet(v, u, {}, ""))
    # the best invariant map is the mean gain, 1: what is left is half the cosine, about 0.5 / sqrt(2) of u
    assert invariant == pytest.approx(0.5 / np.sqrt(2 * 1.125), rel=0.15)
    assert free < 0.2 * invariant
    assert f"{invariant:.2g}" in lines(v, u)["translation invariant"]


def test_data_with_ends_get_zero_padding():
    v = fields()
    found = lines(v * POINTS, convolve(v) * POINTS)
    assert found["periodic"].startswith("no, measured")
    assert found["translation invariant"].startswith("no, the ends")
    assert "layers: mix, padding: zero" in found["network"]


def test_what_the_file_says_counts_more_than_what_is_measured():
    found = lines(fields(), convolve(fields()), periodic=False)
    assert found["periodic"].startswith("no, the file says (attribute periodic); but yes, measured")
    assert "padding: zero" in found["network"]


def test_few_samples_are_not_measured():
    found = lines(fields(20), convolve(fields(20)))
    assert found["translation invariant"].startswith("not measured on 20 samples, 40 are needed")


def test_grids_that_no_levels_fit():
    wide, uneven = np.ones((50, 300)), np.ones((50, 64, 32))
    assert "better interpolate to 320 = 2^6 x 5" in lines(wide, wide)["grid"]
    assert lines(uneven, uneven)["network"].startswith("none")
    odd = np.ones((50, 321))
    assert lines(odd, odd)["grid"].endswith("interpolate to 320 = 2^6 x 5")


def test_nothing_heavy_is_loaded():
    program = "import sys, mnn.suggest; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
