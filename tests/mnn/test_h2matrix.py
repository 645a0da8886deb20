"""H²-matrices against the dense matrices they stand for, and the network against Algorithm 1."""

import numpy as np
import pytest
import torch

from mnn import h2matrix
from mnn.boxes import adjacent_pairs, box_points, interaction_pairs
from mnn.h2matrix import chebyshev_nodes, from_kernel, lagrange

SAME = 1e-12


def green(x, y, k=5.0):
    """Periodic Green's function of k² - d²/dx²."""
    s = np.abs(x - y)
    return np.cosh(k * (0.5 - np.minimum(s, 1 - s))) / (2 * k * np.sinh(k / 2))


def varying(x, y):
    """A smooth kernel on the circle that is no convolution and not symmetric."""
    return green(x, y) * np.exp(np.sin(2 * np.pi * x)) / (2 + np.cos(2 * np.pi * y))


def on_interval(x, y):
    return np.exp(-np.abs(x - y) * (1 + x * y)) / (1 + x + 0.5 * y)


def on_torus(x, y):
    return np.exp(-3 * np.sqrt((np.sin(np.pi * (x - y)) ** 2).sum(axis=-1)))


def on_square(x, y):
    return np.exp(-3 * np.sqrt(((x - y) ** 2).sum(axis=-1))) * (1 + x[..., 0] * y[..., 1])


def dense(kernel, shape):
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    x = axes[0] if len(shape) == 1 else np.stack(axes, axis=-1).reshape(-1, len(shape))
    return kernel(x[:, None], x[None])


def error(kernel, shape, levels, rank, periodic):
    exact = dense(kernel, shape)
    return np.linalg.norm(from_kernel(kernel, shape, levels, rank, periodic).to_dense() - exact) / np.linalg.norm(exact)


def test_error_against_rank():
    """Worst of 50 fields of white noise, median over draws, no worse than known for this kernel and these ranks."""
    known = {2: 8e-2, 3: 5e-3, 4: 9e-4, 5: 1.4e-5, 6: 4e-6, 7: 4e-8, 8: 4e-9}
    exact = dense(green, (320,))
    v = np.random.default_rng(0).standard_normal((20, 50, 320))
    size = np.linalg.norm(v @ exact.T, axis=-1)
    for rank, limit in known.items():
        defect = from_kernel(green, (320,), levels=6, rank=rank).to_dense() - exact
        assert np.median((np.linalg.norm(v @ defect.T, axis=-1) / size).max(axis=1)) <= limit


@pytest.mark.parametrize(
    ("kernel", "shape", "levels", "periodic", "ranks", "limits"),
    [
        (varying, (320,), 6, True, (2, 4, 8), (3e-2, 2e-3, 2e-6)),
        (on_interval, (320,), 6, False, (2, 4, 8), (2e-2, 2e-5, 2e-11)),
        (on_interval, (96,), 5, False, (2, 4, 8), (2e-2, 2e-5, 2e-11)),
        (on_torus, (32, 32), 3, True, (4, 9, 16), (3e-2, 4e-3, 8e-4)),
        (on_square, (32, 32), 3, False, (4, 9, 16), (2e-2, 1e-3, 1e-4)),
    ],
)
def test_error_falls_with_rank(kernel, shape, levels, periodic, ranks, limits):
    errors = [error(kernel, shape, levels, rank, periodic) for rank in ranks]
    assert all(e < limit for e, limit in zip(errors, limits, strict=True))


@pytest.mark.parametrize("shape", [(48,), (16, 16)])
def test_polynomials_below_the_rank_are_exact(shape):
    """Degree p - 1 in each coordinate is interpolated without error, on any box and through any number of levels."""

    def polynomial(x, y):
        x, y = (x, y) if len(shape) > 1 else (x[..., None], y[..., None])
        return ((1 + x) ** 2 * (2 - y) ** 2 + x * y**2).prod(axis=-1)

    assert error(polynomial, shape, 2 if len(shape) > 1 else 4, 3 ** len(shape), periodic=False) < SAME


@pytest.mark.parametrize(
    ("kernel", "shape", "levels", "rank", "periodic"),
    [
        (green, (320,), 6, 6, True),
        (varying, (40,), 3, 3, True),
        (varying, (16,), 4, 2, True),
        (on_interval, (320,), 6, 8, False),
        (on_interval, (32,), 2, 3, False),
        (on_torus, (32, 32), 3, 9, True),
        (on_square, (16, 16), 3, 4, False),
        (on_square, (16, 16), 2, 4, False),
    ],
)
def test_network_is_algorithm_1(kernel, shape, levels, rank, periodic):
    matrix = from_kernel(kernel, shape, levels, rank, periodic)
    v = np.random.default_rng(1).standard_normal((5, *shape))
    u = matrix.apply(v)
    assert np.abs(matrix.to_network()(torch.from_numpy(v)).detach().numpy() - u).max() < SAME * np.abs(u).max()


def test_network_holds_the_factors_and_zeros_elsewhere():
    matrix = from_kernel(varying, (320,), levels=6, rank=4)
    state = matrix.to_network().state_dict()
    both = 2 * (matrix.leaf.data.size + sum(part.data.size for part in matrix.transfer.values()))
    blocks = matrix.adjacent.data.size + sum(part.data.size for part in matrix.kernel.values())
    assert sum(int((tensor != 0).sum()) for tensor in state.values()) == both + blocks


def test_interaction_lists_of_property_1():
    """Offsets {-2, 2, 3} of an even and {-3, -2, 2} of an odd box, at level 2 of a circle the opposite box alone."""
    assert interaction_pairs(2, 1, True).tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]
    for level in (3, 4, 6):
        n = 2**level
        expected = [(i, (i + o) % n) for i in range(n) for o in ((-3, -2, 2) if i % 2 else (-2, 2, 3))]
        assert sorted(expected) == [tuple(pair) for pair in interaction_pairs(level, 1, True)]


def test_the_ends_of_an_interval_interact_on_level_2():
    assert interaction_pairs(2, 1, False).tolist() == [[0, 2], [0, 3], [1, 3], [2, 0], [3, 0], [3, 1]]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("shape", "levels"), [((32,), 4), ((16, 16), 3), ((4, 4, 4), 2)])
def test_every_pair_of_points_is_in_one_block(shape, levels, periodic):
    """(2.4) of the paper is a partition of the matrix."""
    count = np.zeros((np.prod(shape),) * 2, dtype=int)

    def cover(pairs, level):
        points = box_points(shape, level)
        np.add.at(count, (points[pairs[:, 0]][:, :, None], points[pairs[:, 1]][:, None, :]), 1)

    for level in range(2, levels + 1):
        cover(interaction_pairs(level, len(shape), periodic), level)
    cover(adjacent_pairs(levels, len(shape), periodic), levels)
    assert (count == 1).all()


def test_storage_grows_with_the_number_of_points():
    """On the circle: 3 m² adjacent, m r leaf, 2 r² transfer and 3 r² interaction entries a box (r² on level 2)."""
    m, r = 5, 3
    for levels in (4, 5, 6):
        boxes = [2**level for level in range(levels + 1)]
        expected = boxes[-1] * (3 * m**2 + m * r) + 2 * r**2 * sum(boxes[2:-1]) + r**2 * (3 * sum(boxes[3:]) + 4)
        assert from_kernel(green, (m * 2**levels,), levels, r).stored == expected


def test_lagrange_polynomials_interpolate():
    nodes = chebyshev_nodes(6)
    np.testing.assert_allclose(lagrange(nodes, nodes), np.eye(6), atol=1e-14)
    x = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(lagrange(nodes, x) @ (nodes**5 - nodes), x**5 - x, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"shape": (32, 32), "levels": 3, "rank": 5}, "rank: 5 given"),
        ({"shape": (30,), "levels": 3, "rank": 3}, "shape: "),
        ({"shape": (32,), "levels": 1, "rank": 3}, "levels: 1 given"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=f"^{word}") as raised:
        from_kernel(green, **arguments)
    assert "\n" not in str(raised.value)


def test_wrong_field_is_named():
    with pytest.raises(ValueError, match=r"v: shape \(3, 31\) given, \(batch, 32\) expected"):
        h2matrix.from_kernel(green, (32,), 3, 2).apply(np.zeros((3, 31)))
