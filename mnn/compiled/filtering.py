"""Minimal filtering: kernel layers of two dimensions by fewer multiplications than they have taps.

Two neighbouring boxes of an axis need 2 t products for a layer of t taps. Sums of boxes, multiplied by sums of taps,
need fewer: 4 instead of 6 for t = 3 (Winograd, Arithmetic Complexity of Computations, 1980), and for any t one more
than 3/2 t, by polyphase components (Mou and Duhamel, IEEE Trans. Signal Processing 39, 1991). Along both axes: 16
instead of 36 for 3 x 3 taps and 121 instead of 196 for 7 x 7, to a cell of 2 x 2 boxes.

The algorithms are bilinear. With x the boxes before the layer, g its taps and y the boxes after it, along each axis

    y[2 j + e] = sum_p output[e, p] sum_(m of p) (matrix g)[m] (input x)[p, j + step[m]],

where p are the products and m the matrices they use, one for each step. Coefficients are 0, 1, -1 and 1/2.
"""

from dataclasses import dataclass

import numpy as np

from mnn.boxes import neighbour_table
from mnn.compiled.kernels import BLOCK_BYTES, CELL, FORMS, THREE_TAPS, TWO_PHASES
from mnn.layers import BoxLayer, GatherLayer

AXES = 2
"""In one dimension the sums cost what the products save."""

CELLS = 4
"""Cells whose products are computed at a time."""

PART = 32
"""Cells over which gradients are summed at a time, where no cell needs the sums of another. Both keep to the second
cache."""

BLOCK = BLOCK_BYTES // 4
"""Samples of a block in float32; in float64 there are fewer."""


@dataclass(frozen=True)
class Filter:
    """How a layer on a square grid of boxes is run by sums and products.

    Cells of 2 x 2 boxes, positions at which sums of boxes are formed, products and matrices are numbered row-major.

    Parameters
    ----------
    channels : int
        Of a box.
    form : int
        Which of `kernels.FORMS`.
    sources : (positions, boxes) array
        Boxes that the sums of a position are formed of; -1 for one of zeros. Where the grid ends in zeros there are
        more positions than cells, since products reach beyond it.
    boxes : (cells, 4) array
        Boxes of a cell.
    mixing : (matrices, taps) array
        What a matrix takes of the taps.
    product : (matrices,) array
        The product that uses a matrix.
    reached : (matrices, cells) array
        Position whose sums a cell multiplies by a matrix.
    """

    channels: int
    form: int
    sources: np.ndarray
    boxes: np.ndarray
    mixing: np.ndarray
    product: np.ndarray
    reached: np.ndarray

    @property
    def along(self) -> int:
        """Products along an axis."""
        return len(FORMS[self.form][0])

    @property
    def chunks(self) -> int:
        """How often sums are formed anew: for each few cells, if they need no sums but their own."""
        return len(self.boxes) // CELLS if self.form == THREE_TAPS else 1

    @property
    def parts(self) -> int:
        """How often sums are formed anew for gradients."""
        return max(1, len(self.boxes) // PART) if self.form == THREE_TAPS else 1

    def room(self, blocks: int) -> int:
        """Numbers that the kernels need room for, with so many blocks in a tile; in whole blocks."""
        positions, cells = len(self.sources), len(self.boxes)
        forward = self.along**AXES * (positions // self.chunks + CELLS)
        backward = self.along * (positions + cells) // self.parts
        matrices = -(-len(self.mixing) * self.channels**2 // BLOCK)
        return BLOCK * (self.channels * (max(forward, backward) + blocks) + matrices)

    def write(self, tables, first: int) -> tuple[tuple, list]:
        """Add what the kernels need to the tables; return the `FILTER` and its `SUMS`, the first at ``first``."""
        (matrices, taps), size, products = self.mixing.shape, self.channels**2, self.along**AXES
        cells, positions = len(self.boxes), len(self.sources) // self.chunks
        m, cell = (grid.ravel() for grid in np.indices((matrices, cells // self.chunks)))
        group, place = np.divmod(cell, CELLS)
        taken = self.product[m] * positions + self.reached[m, cell]
        groups = cells // self.chunks // CELLS
        row = (group * products + self.product[m]) * CELLS + place
        lists = tables.lists(row, taken, m * size, groups * products * CELLS)
        m, tap = np.nonzero(self.mixing)
        for order in (tap, taps - 1 - tap):
            lists += tables.lists(m, order, 4 * self.mixing[m, tap], matrices)
        grids = tables.add(self.sources.ravel()), tables.add(self.boxes.ravel())
        record = self.form, matrices, self.chunks, positions, groups, CELLS, *grids, *lists, self.parts, first
        pairs = np.broadcast_arrays(np.arange(matrices)[:, None] * size, np.arange(cells), self.reached)
        own = [self.product == product for product in range(products)]
        parts = ([grid[used, : cells // self.parts].ravel() for grid in pairs] for used in own)
        return record, [tables.sums(*part, cells) for part in parts]


def filter_of(layer: BoxLayer) -> Filter | None:
    """Return how to run a layer by fewer multiplications; None where there is no way."""
    found = _stencil(layer)
    if found is None:
        return None
    side, taps, periodic = found
    form = THREE_TAPS if taps == 3 else TWO_PHASES
    mixing, product, step = _mixing(taps)
    products, length = FORMS[form][0].shape
    half = side // 2
    positions = half if periodic else half + step.max()
    start = 2 * np.arange(positions)[:, None] - taps // 2 + np.arange(length)
    reached = step[:, None] + np.arange(half)
    return Filter(
        layer.inputs,
        form,
        _pairs(start % side if periodic else np.where(start < side, start, -1), side),
        _pairs(2 * np.arange(half)[:, None] + np.arange(CELL), side),
        np.kron(mixing, mixing),
        _pairs(product[:, None], products).ravel(),
        _pairs(reached % half if periodic else reached, positions),
    )


def _stencil(layer: BoxLayer) -> tuple[int, int, bool] | None:
    """Return boxes and taps an axis and the padding of a kernel layer whose boxes share their weights."""
    if layer.local or not isinstance(layer, GatherLayer) or layer.inputs != layer.outputs:
        return None
    side, taps = (round(number ** (1 / AXES)) for number in (layer.boxes, layer.taps))
    level, table = side.bit_length() - 1, layer.table.cpu().numpy()
    if (2 ** (level * AXES), taps**AXES) == table.shape and level > 1 and taps > 1 and taps % 2:
        for periodic in (False, True):
            if np.array_equal(table, neighbour_table(level, AXES, taps // 2, periodic)):
                return side, taps, periodic
    return None


def _mixing(taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of one axis what the matrices take of the taps, the product that uses each, and its step.

    Two phases: even taps act on even boxes less odd ones, odd taps on the even ones a cell on less the odd ones, and
    an even tap together with the odd one after it on the odd boxes.
    """
    if taps == 3:
        return np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]), np.arange(4), np.zeros(4, np.int64)
    step, parity = np.divmod(np.arange(taps), 2)
    joint = np.arange(step[-1] + 1)
    matrices = np.concatenate([np.eye(taps), step == joint[:, None]])
    return matrices, np.concatenate([parity, np.full(len(joint), 2)]), np.concatenate([step, joint])


def _pairs(axis: np.ndarray, side: int) -> np.ndarray:
    """Number the pairs of two axes' indices (rows, columns), row-major on a square; negative ones stay negative."""
    number = axis[:, None, :, None] * side + axis[None, :, None, :]
    there = (axis >= 0)[:, None, :, None] & (axis >= 0)[None, :, None, :]
    return np.where(there, number, -1).reshape(len(axis) ** 2, -1)
