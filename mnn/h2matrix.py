"""H²-matrices: a matrix that is smooth away from its diagonal, as small blocks on a tree of boxes (section 2.1).

Nested bases come from Chebyshev interpolation: on a pair of boxes that do not touch, a smooth kernel is replaced by its
interpolant, and a box's polynomials are combinations of its children's. The result loads into a linear, locally
connected MNN-H², which then is the matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.sparse import bsr_array

from mnn.boxes import adjacent_pairs, band, box_points, children_table, interaction_pairs, neighbour_table
from mnn.spec import NetworkSpec

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class H2Matrix:
    """The factors of (2.7) of the paper, block-sparse matrices with points and boxes numbered box by box.

    Attributes
    ----------
    spec : NetworkSpec
        Grid, levels and rank, as the linear network that holds the same matrix.
    adjacent : (points, points) bsr_array
        A^(ad), blocks m^d x m^d between boxes of level L that touch.
    leaf : (points, boxes r) bsr_array
        U^(L) = V^(L), block-diagonal.
    transfer : dict of int to (children r, boxes r) bsr_array
        B^(l) = C^(l) for 2 <= l < L, block-diagonal: a box's basis in terms of its children's.
    kernel : dict of int to (boxes r, boxes r) bsr_array
        M^(l) for 2 <= l <= L, blocks r x r between boxes that interact.
    """

    spec: NetworkSpec
    adjacent: bsr_array
    leaf: bsr_array
    transfer: dict[int, bsr_array]
    kernel: dict[int, bsr_array]

    def apply(self, v: np.ndarray) -> np.ndarray:
        """Multiply by the matrix: Algorithm 1 of the paper.

        Parameters
        ----------
        v : (batch, *shape) array

        Returns
        -------
        (batch, *shape) float64

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        v = np.asarray(v, dtype=np.float64)
        shape, finest = self.spec.shape, self.spec.levels
        if v.ndim != len(shape) + 1 or v.shape[1:] != shape:
            raise ValueError(f"v: shape {v.shape} given, (batch, {', '.join(map(str, shape))}) expected")
        points = box_points(shape, finest).ravel()
        x = v.reshape(len(v), -1)[:, points].T
        near = self.adjacent @ x  # line 1
        xi = {finest: self.leaf.T @ x}  # line 2
        for level in range(finest - 1, 1, -1):  # lines 3-5
            xi[level] = self.transfer[level].T @ xi[level + 1]
        zeta = {level: self.kernel[level] @ xi[level] for level in range(2, finest + 1)}  # lines 6-8
        chi = np.zeros_like(zeta[2])  # line 9
        for level in range(2, finest):  # lines 10-13
            chi = self.transfer[level] @ (chi + zeta[level])
        u = np.empty_like(x)
        u[points] = self.leaf @ (chi + zeta[finest]) + near  # lines 14-16
        return u.T.reshape(v.shape)

    def to_dense(self) -> np.ndarray:
        """Return the matrix itself, (points, points) with points row-major over the grid."""
        identity = np.eye(int(np.prod(self.spec.shape)))
        return self.apply(identity.reshape(-1, *self.spec.shape)).reshape(identity.shape).T

    @property
    def stored(self) -> int:
        """Numbers that make up the factors."""
        return sum(
            part.data.size for part in (self.adjacent, self.leaf, *self.transfer.values(), *self.kernel.values())
        )

    def to_network(self):
        """Load the matrix into a linear MNN-H² of one member in float64, locally connected and periodically padded.

        Only per-box weights can hold it: which offsets interact depends on a box's place in its parent, and on an
        interval on its distance from the ends. A network's band covers more than the lists: the rest is zero. Where a
        window of level 2 meets a box under two taps, the first one holds the block.
        """
        import torch

        from mnn.networks import network

        made = network(**self.spec.to_dict(), dtype=torch.float64)
        made.load_state_dict({name: torch.from_numpy(weight[None]) for name, weight in self._weights().items()})
        return made

    def _weights(self) -> dict[str, np.ndarray]:
        """Return the blocks under the names and in the shapes of a network's state, without the axis of members."""
        spec, finest = self.spec, self.spec.levels
        leaf = self.leaf.data[:, :, None, :]
        weights = {
            "adjacent.1.weight": _banded(self.adjacent, finest, spec.dimension, 1),
            f"restriction.{finest}.weight": leaf.swapaxes(-1, -2),
            f"interpolation.{finest}.weight": leaf,
        }
        for level, kernel in self.kernel.items():
            weights[f"kernel.{level}.1.weight"] = _banded(kernel, level, spec.dimension, band(level))
        for level, transfer in self.transfer.items():
            blocks = transfer.data[children_table(level, spec.dimension)]
            weights[f"restriction.{level}.weight"] = blocks.swapaxes(-1, -2)
            weights[f"interpolation.{level}.weight"] = blocks
        return weights


def from_kernel(kernel: Kernel, shape: tuple[int, ...], levels: int, rank: int, periodic: bool = True) -> H2Matrix:
    """Approximate the matrix of a kernel on a grid, A[i, j] = g(x_i, x_j) with x_j = j / N along each axis.

    Parameters
    ----------
    kernel : callable
        g(x, y), smooth wherever boxes do not touch. Called with broadcastable arrays of coordinates in [0, 1): in one
        dimension the coordinates themselves, in more with a last axis that holds the d coordinates of a point.
    shape : tuple of int
        Grid points along each axis.
    levels : int
        L, with N = 2^L m.
    rank : int
        r = p^d, with p Chebyshev nodes along each axis of a box.
    periodic : bool
        The circle or torus, whose ends touch, or the interval or square, whose ends do not.

    Raises
    ------
    ValueError
        If shape, levels or rank are not allowed; the message is one line and names the argument.
    """
    options = {"layers": "lc", "activation": "identity", "bias": False}
    spec = NetworkSpec(shape=shape, levels=levels, rank=rank, depth=1, **options)
    nodes = round(rank ** (1 / spec.dimension))
    if nodes**spec.dimension != rank:
        raise ValueError(f"rank: {rank} given, p^{spec.dimension} with an integer p expected in {spec.dimension}D")
    coordinates = _grid_points(spec)[box_points(spec.shape, levels)]
    pairs = adjacent_pairs(levels, spec.dimension, periodic)
    leaf = _tensor_product([_leaf_basis(spec, nodes)] * spec.dimension)
    return H2Matrix(
        spec=spec,
        adjacent=_block_sparse(pairs, _evaluate(kernel, coordinates, pairs)),
        leaf=_block_diagonal(np.broadcast_to(leaf, (len(coordinates), *leaf.shape))),
        transfer={level: _transfer(spec, nodes, level) for level in range(2, levels)},
        kernel={level: _interactions(kernel, spec, nodes, level, periodic) for level in spec.level_range()},
    )


def chebyshev_nodes(count: int) -> np.ndarray:
    """Return the Chebyshev nodes of the first kind on [-1, 1], in ascending order."""
    return -np.cos(np.pi * (np.arange(count) + 0.5) / count)


def lagrange(nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the Lagrange polynomials of nodes at points: (points, nodes)."""
    difference = x[:, None, None] - nodes
    difference = np.where(np.eye(len(nodes), dtype=bool), 1.0, difference)
    denominator = nodes[:, None] - nodes + np.eye(len(nodes))
    return (difference / denominator).prod(axis=-1)


def _hull(spec: NetworkSpec, level: int) -> float:
    """Return half the width of the interval from the first to the last point of a box, (n - 1) / 2N.

    Interpolation on this interval, rather than on the box that reaches to the next box's first point, is more accurate.
    A single point has an interval of its own width, so that nodes stay apart.
    """
    points = spec.shape[0] // 2**level
    return max(points - 1, 1) / (2 * spec.shape[0])


def _centres(spec: NetworkSpec, level: int) -> np.ndarray:
    """Return the centres of the boxes along an axis, halfway between their first and last points."""
    points = spec.shape[0] // 2**level
    return (points * np.arange(2**level) + (points - 1) / 2) / spec.shape[0]


def _leaf_basis(spec: NetworkSpec, nodes: int) -> np.ndarray:
    """Return an axis' factor of U: the polynomials of a box of level L at its points, (m, p)."""
    points = np.arange(spec.box_size) / spec.shape[0] - _centres(spec, spec.levels)[0]
    return lagrange(chebyshev_nodes(nodes), points / _hull(spec, spec.levels))


def _transfer(spec: NetworkSpec, nodes: int, level: int) -> bsr_array:
    """Return B^(l): the polynomials of every box of a level at the nodes of its children."""
    t = chebyshev_nodes(nodes)
    offsets = _centres(spec, level + 1)[:2] - _centres(spec, level)[0]
    axis = [lagrange(t, (offset + _hull(spec, level + 1) * t) / _hull(spec, level)) for offset in offsets]
    corners = np.indices((2,) * spec.dimension).reshape(spec.dimension, -1).T
    blocks = np.stack([_tensor_product([axis[c] for c in corner]) for corner in corners])
    children = children_table(level, spec.dimension)
    parent = np.repeat(np.arange(len(children)), children.shape[1])
    pairs = np.stack([children.ravel(), parent], axis=1)
    order = np.argsort(pairs[:, 0])
    return _block_sparse(pairs[order], np.tile(blocks, (len(children), 1, 1))[order])


def _interactions(kernel: Kernel, spec: NetworkSpec, nodes: int, level: int, periodic: bool) -> bsr_array:
    """Return M^(l): the kernel between the nodes of boxes that interact."""
    axis = _centres(spec, level)[:, None] + _hull(spec, level) * chebyshev_nodes(nodes)
    points = _mesh(axis.ravel(), spec.dimension)
    boxed = points[box_points((axis.size,) * spec.dimension, level)]
    pairs = interaction_pairs(level, spec.dimension, periodic)
    return _block_sparse(pairs, _evaluate(kernel, boxed, pairs))


def _grid_points(spec: NetworkSpec) -> np.ndarray:
    return _mesh(np.arange(spec.shape[0]) / spec.shape[0], spec.dimension)


def _mesh(axis: np.ndarray, dimension: int) -> np.ndarray:
    """Return the points of a tensor grid in row-major order: (points, d), or (points,) in one dimension."""
    if dimension == 1:
        return axis
    return np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)


def _evaluate(kernel: Kernel, boxed: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the blocks g(points of I, points of J) of pairs of boxes: (pairs, points, points)."""
    blocks = np.asarray(kernel(boxed[pairs[:, 0]][:, :, None], boxed[pairs[:, 1]][:, None, :]), dtype=np.float64)
    return np.broadcast_to(blocks, (len(pairs), boxed.shape[1], boxed.shape[1]))


def _tensor_product(factors: list[np.ndarray]) -> np.ndarray:
    return reduce(np.kron, factors)


def _block_sparse(pairs: np.ndarray, blocks: np.ndarray) -> bsr_array:
    """Make a matrix of blocks from sorted pairs (block row, block column)."""
    rows = pairs[-1, 0] + 1
    pointer = np.searchsorted(pairs[:, 0], np.arange(rows + 1))
    size = (rows * blocks.shape[1], (pairs[:, 1].max() + 1) * blocks.shape[2])
    return bsr_array((np.ascontiguousarray(blocks), pairs[:, 1], pointer), shape=size)


def _block_diagonal(blocks: np.ndarray) -> bsr_array:
    return _block_sparse(np.repeat(np.arange(len(blocks))[:, None], 2, axis=1), blocks)


def _banded(matrix: bsr_array, level: int, dimension: int, width: int) -> np.ndarray:
    """Return the blocks of a matrix under the taps of a periodic kernel layer: (boxes, taps, rows, columns)."""
    table = neighbour_table(level, dimension, width, periodic=True)
    row = np.repeat(np.arange(len(table)), np.diff(matrix.indptr))
    tap = (table[row] == matrix.indices[:, None]).argmax(axis=1)
    weight = np.zeros((*table.shape, *matrix.data.shape[1:]))
    weight[row, tap] = matrix.data
    return weight
