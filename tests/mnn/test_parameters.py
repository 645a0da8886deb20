"""Closed forms of the parameter count against the networks built, and the numbers printed in the paper."""

import itertools

import pytest

import mnn
from mnn.parameters import closed_form, count_parameters, layer_sizes
from mnn.spec import NetworkSpec

ONE = {"shape": (320,), "levels": 6, "rank": 6, "depth": 5}
TWO = {"shape": (80, 80), "levels": 4, "rank": 6, "depth": 5}

KNOWN = [
    ({**ONE}, 7209),
    ({**ONE, "architecture": "mnn-h"}, 8535),
    ({**ONE, "layers": "lc", "padding": "zero"}, 198384),
    ({**ONE, "layers": "mix", "padding": "zero", "rank": 8}, 38952),
    ({**TWO}, 51447),
    ({**TWO, "architecture": "mnn-h"}, 57323),
    ({**TWO, "layers": "mix", "padding": "zero"}, 160656),
    ({"shape": (64, 64), "levels": 4, "rank": 6, "depth": 6}, 41446),
]


@pytest.mark.parametrize(("spec", "expected"), KNOWN)
def test_known_counts(spec, expected):
    assert count_parameters(mnn.network(**spec, members=2)) == expected
    assert sum(closed_form(NetworkSpec(**spec)).values()) == expected


GRID = itertools.product(
    [(1, 2, 1), (1, 2, 3), (1, 4, 2), (2, 2, 2), (2, 3, 1), (3, 2, 1)],
    [(1, 1), (3, 2)],
    ["cnn", "lc", "mix"],
    ["mnn-h2", "mnn-h"],
    [True, False],
    [("chain", 1), ("parallel", 2)],
)


def test_closed_forms_are_the_networks_built():
    """Every part, over a grid of dimension, levels, box size, rank, depth, layers, architecture, bias and chains."""
    for (d, levels, m), (rank, depth), layers, architecture, bias, (kernel, transfer_depth) in GRID:
        spec = {"shape": (m * 2**levels,) * d, "levels": levels, "rank": rank, "depth": depth, "layers": layers}
        if architecture == "mnn-h2":
            spec["transfer_depth"] = transfer_depth
        net = mnn.network(**spec, architecture=architecture, bias=bias, kernel=kernel, padding="zero")
        parts = dict.fromkeys(("adjacent", "restriction", "kernel", "interpolation"), 0)
        for name, parameter in net.named_parameters():
            part = name.split(".")[0].removesuffix("_more")
            parts[part.replace("parallel", "kernel")] += parameter.numel()
        assert closed_form(net.spec) == parts


def count(levels, **options):
    spec = {"shape": (5 * 2**levels,), "levels": levels, "rank": 6, "depth": 5, **options}
    return sum(closed_form(NetworkSpec(**spec)).values())


def test_locally_connected_grows_linearly_and_shared_logarithmically():
    """Doubling N adds a level: the layers of a level to a CNN network, twice the last addition to an LC network."""
    adjacent, leaf, transfer = 5 * (3 * 25 + 5), (5 * 6 + 6) + (6 * 5 + 5), (12 * 6 + 6) + (2 * 36 + 12)
    kernel = 5 * (7 * 36 + 6)
    for levels in range(3, 15):
        assert count(levels + 1) - count(levels) == kernel + transfer
        added = count(levels + 1, layers="lc") - count(levels, layers="lc")
        assert added == 2**levels * (adjacent + leaf + 2 * kernel + transfer)


@pytest.mark.parametrize("what", ["parameters", "operations", "states"])
def test_locally_connected_costs_are_linear_in_the_number_of_points(what):
    """Each doubling of N adds exactly twice what the last one did: the cost is a N + b, with no N log N in it."""
    spec = {"rank": 6, "depth": 5, "layers": "lc"}
    sizes = [layer_sizes(NetworkSpec(shape=(5 * 2**levels,), levels=levels, **spec)) for levels in range(3, 15)]
    costs = [sum(getattr(layer, what) for layer in layers) for layers in sizes]
    added = [after - before for before, after in itertools.pairwise(costs)]
    assert all(after == 2 * before for before, after in itertools.pairwise(added))


def test_nested_bases_save_parameters_and_keep_lc_linear():
    """MNN-H pays for every point on every level: N log N, against N."""
    for levels in (6, 10):
        extra = count(levels, layers="lc", architecture="mnn-h") - count(levels, layers="lc")
        points, boxes = 5 * 2**levels, [2**level for level in range(2, levels)]
        assert extra == len(boxes) * 13 * points - sum(boxes) * (78 - 6 + 84)
