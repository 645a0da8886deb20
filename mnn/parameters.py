"""Sizes: parameters of a built network, and of every layer in closed form, with operations and states, unbuilt."""

from collections.abc import Iterator
from dataclasses import dataclass

from mnn.boxes import ADJACENT_BAND, band
from mnn.spec import NetworkSpec

PARTS = ("adjacent", "restriction", "kernel", "interpolation")
"""Parts of a network, in the order of Algorithm 4 of the paper."""


@dataclass(frozen=True)
class LayerSize:
    """Size of a layer: a matrix out x in for each of its taps, for every box or shared by all boxes.

    Attributes
    ----------
    part : str
        One of `PARTS`.
    level : int
        Level of its boxes.
    k : int
        Number in a chain, from 1.
    boxes, taps, inputs, outputs : int
        Boxes of the level, entries of the table for each box, channels before and after.
    local : bool
        Whether every box has weights of its own.
    bias : bool
        Whether there are biases.
    """

    part: str
    level: int
    k: int
    boxes: int
    taps: int
    inputs: int
    outputs: int
    local: bool
    bias: bool

    @property
    def results(self) -> int:
        """Numbers a box produces: out, and from an interpolation out for each child or point."""
        return self.outputs * (self.taps if self.part == "interpolation" else 1)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        matrices = self.taps * self.inputs * self.outputs + self.bias * self.results
        return matrices * (self.boxes if self.local else 1)

    @property
    def operations(self) -> int:
        """Multiplications with additions for one sample, those with zeros of the padding included."""
        return self.boxes * self.taps * self.inputs * self.outputs

    @property
    def states(self) -> int:
        """Numbers the layer produces for one sample."""
        return self.boxes * self.results


def count_parameters(network) -> int:
    """Count the weights and biases of one member of a network."""
    return sum(parameter.numel() for parameter in network.parameters()) // network.members


def closed_form(spec: NetworkSpec) -> dict[str, int]:
    """Return the parameters of each part of one member, biases included, without building the network.

    The sums of (3.1) and (3.5) of the paper with biases, in any dimension: with q = 2^d, M = m^d, w_l = (2 n_b + 1)^d
    and P_l = q^l where a layer is locally connected, else 1, MNN-H² has

    * adjacent: K layers of P_L (3^d M² + M),
    * restriction: P_L (M r + r) on level L and P_l (q r² + r) above,
    * kernel: K layers of P_l (w_l r² + r) on every level,
    * interpolation: P_L (r M + M) on level L and P_l (q r² + q r) above,

    and MNN-H on every level restriction P_l (W r + r) and interpolation P_l (r W + W), W = (m 2^(L-l))^d.
    """
    counts = dict.fromkeys(PARTS, 0)
    for layer in layer_sizes(spec):
        counts[layer.part] += layer.parameters
    return counts


def layer_sizes(spec: NetworkSpec) -> Iterator[LayerSize]:
    """Yield the size of every layer of a network, in the order of Algorithm 4 of the paper."""
    r, depth, points = spec.rank, spec.depth, spec.box_size**spec.dimension
    for k in range(1, depth + 1):
        yield _size(spec, "adjacent", spec.levels, k, (_window(spec, ADJACENT_BAND), points, points))
    for level in reversed(spec.level_range()):
        taps, channels = _below(spec, level)
        yield _size(spec, "restriction", level, 1, (taps, channels, r))
        yield from _more(spec, "restriction", level)
    for level in spec.level_range():
        for k in range(1, (2 if spec.kernel == "parallel" else 1) * depth + 1):
            yield _size(spec, "kernel", level, k, (_window(spec, band(level)), r, r))
    for level in spec.level_range():
        taps, channels = _below(spec, level)
        yield from _more(spec, "interpolation", level)
        yield _size(spec, "interpolation", level, spec.transfer_depth, (taps, r, channels))


def _size(spec: NetworkSpec, part: str, level: int, k: int, matrices: tuple[int, int, int]) -> LayerSize:
    taps, inputs, outputs = matrices
    boxes = 2 ** (level * spec.dimension)
    return LayerSize(part, level, k, boxes, taps, inputs, outputs, spec.is_local(part, k), spec.bias)


def _more(spec: NetworkSpec, part: str, level: int) -> Iterator[LayerSize]:
    """Yield the layers of a restriction or an interpolation that act on each box alone."""
    for k in range(1, spec.transfer_depth if level < spec.levels else 1):
        yield _size(spec, part, level, k + (part == "restriction"), (1, spec.rank, spec.rank))


def _window(spec: NetworkSpec, width: int) -> int:
    return (2 * width + 1) ** spec.dimension


def _below(spec: NetworkSpec, level: int) -> tuple[int, int]:
    """Return what restriction and interpolation of a level join its boxes to: (children or points, channels each)."""
    if spec.architecture == "mnn-h2" and level < spec.levels:
        return 2**spec.dimension, spec.rank
    return (spec.shape[0] // 2**level) ** spec.dimension, 1
