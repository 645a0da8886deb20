"""Initial states. The weights of a member are a pure function of its seed: alone or among others, they are the same."""

import math
from collections.abc import Sequence

import torch

from mnn.layers import BoxLayer

PAPER_WIDTH = 0.05
POSITIVE_BIAS = 0.1


def initialise(network: torch.nn.Module, seeds: Sequence[int], initial: str) -> None:
    """Set all weights and biases of a network.

    Parameters
    ----------
    network : torch.nn.Module
        A network of `BoxLayer` layers with ``len(seeds)`` members.
    seeds : sequence of int
        Seed of each member.
    initial : {"paper", "positive"}
        ``"paper"``: weights N(0, 0.05²), biases 0 (section 4 of the paper, its width not printed). ``"positive"``:
        weights N(0, gain² / fan-in), gain² = 2 before a ReLU and 1 elsewhere, which carries the mean square through
        any number of layers; before a ReLU each output's weights have a sum of at least 0 and its bias is 0.1, so
        that a state without negative values, such as the output of a ReLU, is not mapped to zeros: with two
        channels, the paper's start leaves most levels dead.

    Raises
    ------
    ValueError
        If ``initial`` is not one of these.
    """
    if initial not in _DRAWS:
        raise ValueError(f"initial: {initial!r} given, {' or '.join(map(repr, _DRAWS))} allowed")
    layers = [layer for layer in network.modules() if isinstance(layer, BoxLayer)]
    with torch.no_grad():
        for member, seed in enumerate(seeds):
            generator = torch.Generator().manual_seed(seed)
            for layer in layers:
                layer.weight[member] = _DRAWS[initial](layer, generator)
        for layer in layers:
            if layer.bias is not None:
                layer.bias.fill_(POSITIVE_BIAS if initial == "positive" and layer.activation == "relu" else 0.0)


def _normal(layer: BoxLayer, generator: torch.Generator) -> torch.Tensor:
    """Draw one member's weights from N(0, 1), in float64 whatever the layer's type, so that types agree."""
    return torch.randn(layer.weight.shape[1:], generator=generator, dtype=torch.float64)


def _paper(layer: BoxLayer, generator: torch.Generator) -> torch.Tensor:
    return PAPER_WIDTH * _normal(layer, generator)


def _positive(layer: BoxLayer, generator: torch.Generator) -> torch.Tensor:
    rectified = layer.activation == "relu"
    weight = math.sqrt((2.0 if rectified else 1.0) / layer.fan_in) * _normal(layer, generator)
    if rectified:
        total = weight.sum(dim=(-3, -1), keepdim=True)
        weight = torch.where(total < 0, -weight, weight)
    return weight


_DRAWS = {"paper": _paper, "positive": _positive}
