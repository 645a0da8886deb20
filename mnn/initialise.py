"""Initial states. The weights of a member are a pure function of its seed: alone or among others, they are the same."""

import math
from collections.abc import Sequence

import torch

from mnn.layers import BoxLayer

PAPER_WIDTH = 0.05
POSITIVE_BIAS = 0.1
POSITIVE_VARIANCE = 0.3
"""Times 1 / fan-in. Less than what keeps the scale of states: networks that start small train to smaller errors."""


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
        weights N(0, 0.3 / fan-in); before a ReLU the bias is 0.1 and signs change where sums over taps are negative:
        of all weights of an output together, in the first output of those to each input. Behind the first ReLU states
        are positive, and so are then most sums of them, which the ReLU lets pass; the first output's mean over the
        boxes of a periodic level is at least 0.1 there, so that no ReLU but the first can be off on all boxes. The
        paper's start shrinks what passes a level of two channels by five orders of magnitude, and training then kills
        most levels.

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
    return torch.randn(layer.weight.shape[1:], generator=generator, dtype=torch.float64, device=generator.device)


def _paper(layer: BoxLayer, generator: torch.Generator) -> torch.Tensor:
    return PAPER_WIDTH * _normal(layer, generator)


def _positive(layer: BoxLayer, generator: torch.Generator) -> torch.Tensor:
    weight = math.sqrt(POSITIVE_VARIANCE / layer.fan_in) * _normal(layer, generator)
    if layer.activation == "relu":
        first, others = weight[..., :1, :], weight[..., 1:, :]
        first = torch.where(first.sum(dim=-3, keepdim=True) < 0, -first, first)
        others = torch.where(others.sum(dim=(-3, -1), keepdim=True) < 0, -others, others)
        weight = torch.cat([first, others], dim=-2)
    return weight


_DRAWS = {"paper": _paper, "positive": _positive}
