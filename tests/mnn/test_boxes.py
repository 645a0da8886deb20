"""Tables of boxes against lists written by hand and against coordinates."""

import itertools

import numpy as np
import pytest

from mnn.boxes import band, box_points, children_table, neighbour_table


def test_band_sizes_of_the_paper():
    assert [band(level) for level in (2, 3, 4, 9)] == [2, 3, 3, 3]


def test_neighbours_on_the_circle_meet_the_farthest_box_twice():
    assert neighbour_table(2, 1, 2, periodic=True).tolist() == [
        [2, 3, 0, 1, 2],
        [3, 0, 1, 2, 3],
        [0, 1, 2, 3, 0],
        [1, 2, 3, 0, 1],
    ]


def test_neighbours_beyond_an_interval_are_the_box_of_zeros():
    assert neighbour_table(2, 1, 1, periodic=False).tolist() == [[4, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("level", "dimension", "width"), [(3, 1, 3), (2, 2, 2), (3, 2, 1), (1, 3, 1)])
def test_neighbours_are_the_boxes_at_the_offsets(level, dimension, width, periodic):
    side = 2**level
    boxes = list(itertools.product(range(side), repeat=dimension))
    offsets = list(itertools.product(range(-width, width + 1), repeat=dimension))
    table = neighbour_table(level, dimension, width, periodic)
    assert table.dtype == np.int64
    assert table.shape == (len(boxes), len(offsets))
    for row, box in zip(table, boxes, strict=True):
        for index, offset in zip(row, offsets, strict=True):
            target = tuple(b + o for b, o in zip(box, offset, strict=True))
            if periodic:
                target = tuple(t % side for t in target)
            expected = boxes.index(target) if target in boxes else len(boxes)
            assert index == expected


def test_children_of_a_square():
    assert children_table(1, 2).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize(("shape", "level"), [((12,), 2), ((8, 8), 1), ((12, 12), 2), ((4, 4, 4), 1)])
def test_points_of_a_box_are_those_with_its_coordinates(shape, level):
    table = box_points(shape, level)
    size = shape[0] // 2**level
    point = np.array(np.unravel_index(table, shape))
    box = np.array(np.unravel_index(np.arange(len(table)), (2**level,) * len(shape)))
    np.testing.assert_array_equal(point // size, np.broadcast_to(box[..., None], point.shape))
    assert (np.diff(table, axis=1) > 0).all()
    np.testing.assert_array_equal(np.sort(table, axis=None), np.arange(np.prod(shape)))


@pytest.mark.parametrize("dimension", [1, 2])
def test_children_of_neighbours_of_the_parent_lie_within_the_band(dimension):
    """The band of a kernel layer covers the interaction list, Property 1.3 of the paper."""
    level = 4
    children = children_table(level - 1, dimension)
    parent = np.argsort(children, axis=None) // 2**dimension
    near_parent = neighbour_table(level - 1, dimension, 1, periodic=True)
    covered = neighbour_table(level, dimension, band(level), periodic=True)
    for box in range(2 ** (level * dimension)):
        assert set(children[near_parent[parent[box]]].ravel()) <= set(covered[box])
