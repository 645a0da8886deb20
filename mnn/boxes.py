"""The tree of boxes: which points a box holds, which boxes are its children and its neighbours.

A grid of N = 2^L m points an axis is cut into 2^l boxes an axis on level l, in any dimension d (sections 2.1 and 2.3 of
the paper). Boxes, children and points are numbered row-major. Every layer of a network is a small matrix for each
entry of one of these tables; the tables alone know the dimension and the padding.
"""

import numpy as np

ADJACENT_BAND = 1
"""Band size n_b of the adjacent part, in boxes of the finest level."""


def band(level: int) -> int:
    """Band size n_b of the kernel layers on a level: 2 on level 2, 3 below it (Property 1.3 of the paper)."""
    return 2 if level == 2 else 3


def box_points(shape: tuple[int, ...], level: int) -> np.ndarray:
    """Return the points of every box: (boxes, points) indices into the row-major grid.

    Parameters
    ----------
    shape : tuple of int
        Points along each axis, multiples of 2^level.
    level : int
        Level of the tree, with 2^level boxes an axis.
    """
    axes = len(shape)
    cut = [length for n in shape for length in (2**level, n // 2**level)]
    grid = np.arange(np.prod(shape), dtype=np.int64).reshape(cut)
    return grid.transpose(*range(0, 2 * axes, 2), *range(1, 2 * axes, 2)).reshape(2 ** (level * axes), -1)


def children_table(level: int, dimension: int) -> np.ndarray:
    """Return the children of every box of a level: (boxes, 2^d) indices of boxes on the level below, ``level + 1``."""
    return box_points((2 ** (level + 1),) * dimension, level)


def neighbour_table(level: int, dimension: int, band: int, periodic: bool) -> np.ndarray:
    """Return the boxes that a kernel layer connects to each box of a level.

    Parameters
    ----------
    level, dimension : int
        Level of the tree and number of axes.
    band : int
        Largest offset along each axis.
    periodic : bool
        Whether the grid of boxes closes on itself. Otherwise a neighbour outside it is a box of zeros.

    Returns
    -------
    (boxes, taps) int64
        Taps are the (2 band + 1)^d offsets, row-major from the most negative. The index ``boxes``, one past the end,
        stands for the box of zeros. On a small periodic grid a box may appear under several taps (5 taps on the 4
        boxes of level 2: the farthest box is reached from both sides).
    """
    side = 2**level
    box = np.indices((side,) * dimension).reshape(dimension, -1, 1)
    offset = np.indices((2 * band + 1,) * dimension).reshape(dimension, 1, -1) - band
    index = np.ravel_multi_index(tuple(box + offset), (side,) * dimension, mode="wrap")
    inside = ((box + offset >= 0) & (box + offset < side)).all(axis=0)
    return np.where(inside | periodic, index, side**dimension).astype(np.int64)


def adjacent_pairs(level: int, dimension: int, periodic: bool) -> np.ndarray:
    """Return the pairs (I, J) of a level with J in NL(I), the boxes that touch I and I itself: (pairs, 2), sorted."""
    table = neighbour_table(level, dimension, ADJACENT_BAND, periodic)
    return _decode(_encode(table, len(table)), len(table))


def interaction_pairs(level: int, dimension: int, periodic: bool) -> np.ndarray:
    """Return the pairs (I, J) of a level with J in IL(I), children of NL(parent of I) not in NL(I): (pairs, 2), sorted.

    The lists of section 2.1 of the paper, for ``level`` of at least 2. They lie within the band of the kernel layers on
    a periodic grid; on an interval or a square the ends of level 2 are three boxes apart, one more than the band.
    """
    boxes = 2 ** (level * dimension)
    children = children_table(level - 1, dimension)
    none = np.full((1, children.shape[1]), boxes)
    near_parent = neighbour_table(level - 1, dimension, ADJACENT_BAND, periodic)
    candidates = np.empty((boxes, near_parent.shape[1] * children.shape[1]), dtype=np.int64)
    candidates[children] = np.concatenate([children, none])[near_parent].reshape(len(children), 1, -1)
    near = neighbour_table(level, dimension, ADJACENT_BAND, periodic)
    return _decode(np.setdiff1d(_encode(candidates, boxes), _encode(near, boxes)), boxes)


def _encode(table: np.ndarray, boxes: int) -> np.ndarray:
    """Number every pair (row, entry) of a table, each once, entries beyond the grid left out."""
    row = np.broadcast_to(np.arange(len(table))[:, None], table.shape)
    return np.unique((row * boxes + table)[table < boxes])


def _decode(pairs: np.ndarray, boxes: int) -> np.ndarray:
    return np.stack(np.divmod(pairs, boxes), axis=1)
