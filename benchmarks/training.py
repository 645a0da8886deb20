"""Speed of the networks on one thread against what torch offers layer by layer: ``python -m benchmarks.training``.

Rates are samples per processor second, medians over seeds of the medians over turns; within a turn all sides run one
after the other, so that they see the same machine. A training step is forward pass, mean square loss, backward pass
and Nadam. The plain side is the same network, weight for weight, made of torch.nn layers (locally connected ones of
unfold and bmm); the Fourier neural operator is neuraloperator's, of about as many parameters.
"""

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import mnn
from mnn import compiled
from mnn.boxes import ADJACENT_BAND, band
from mnn.optimisers import FlatParameters, Nadam, Soap
from mnn.parameters import layer_sizes
from mnn.spec import NetworkSpec

SEEDS = 3
TURNS = 5
LEAST_SECONDS = 0.15
"""A side's part of a turn lasts at least so long."""

GEMM_SIDE = 512
EQUAL = 1e-4
"""Relative difference that both sides' float32 outputs may have."""

ONE = {"shape": (320,), "levels": 6, "rank": 6, "depth": 5}
TWO = {"shape": (80, 80), "levels": 4, "rank": 6, "depth": 5}
LOCAL = ONE | {"layers": "lc", "padding": "zero"}


@dataclass(frozen=True)
class Case:
    """What is measured: a network, a batch, training steps or inference, and the least ratio over plain torch.

    ``fourier`` is the size of a Fourier neural operator with about as many parameters: channels and modes an axis.
    """

    name: str
    spec: dict
    batch: int
    training: bool = True
    floor: float | None = None
    fourier: tuple[int, int] | None = None


CASES = {
    case.name: case
    for case in (
        Case("train CNN 1D", ONE, 100, floor=8, fourier=(8, 24)),
        Case("train LC 1D", LOCAL, 100, floor=3),
        Case("train CNN 2D", TWO, 100, floor=1.5, fourier=(8, 12)),
        Case("infer CNN 1D", ONE, 1000, training=False, floor=8, fourier=(8, 24)),
        Case("infer LC 1D", LOCAL, 1000, training=False),
        Case("infer CNN 2D", TWO, 100, training=False, fourier=(8, 12)),
    )
}


@dataclass(frozen=True)
class Measurement:
    """Samples per second of each side, 0 for one that was not measured, and the fast one's share of the GEMM peak."""

    case: str
    fast: float
    plain: float
    ratio: float
    floor: float
    gemm_share: float
    gemm_gflops: float
    soap: float
    fourier: float

    @property
    def reached(self) -> bool:
        """Whether the floor, if there is one, is met."""
        return self.ratio >= self.floor


class PlainLayer(nn.Module):
    """A kernel or adjacent layer of torch.nn: a padded convolution, or unfold and bmm where boxes differ."""

    def __init__(self, spec: NetworkSpec, level: int, width: int, channels: int):
        super().__init__()
        self.width, self.mode = width, "circular" if spec.padding == "periodic" else "zeros"
        self.local = spec.layers == "lc"
        if self.local:
            boxes, taps = 2**level, 2 * width + 1
            self.weight = nn.Parameter(torch.empty(boxes, taps * channels, channels))
            self.bias = nn.Parameter(torch.empty(boxes, 1, channels))
        else:
            convolution = nn.Conv1d if spec.dimension == 1 else nn.Conv2d
            size = {"kernel_size": 2 * width + 1, "padding": width, "padding_mode": self.mode}
            self.convolution = convolution(channels, channels, **size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, *boxes) to the same shape."""
        if not self.local:
            return self.convolution(x)
        x = functional.pad(x, (self.width, self.width), "circular" if self.mode == "circular" else "constant")
        x = x.unfold(2, 2 * self.width + 1, 1).permute(2, 0, 3, 1).flatten(2)
        return torch.baddbmm(self.bias, x, self.weight).permute(1, 2, 0)

    def load(self, weight: Tensor, bias: Tensor) -> None:
        """Take up the weights of a layer of ours, ([boxes,] taps, out, in) and ([boxes,] out)."""
        if self.local:
            self.weight.data = weight.transpose(-1, -2).flatten(1, 2).contiguous()
            self.bias.data = bias.unsqueeze(1)
        else:
            self.convolution.weight.data = weight.permute(1, 2, 0).reshape(self.convolution.weight.shape).contiguous()
            self.convolution.bias.data = bias


class PlainTransfer(nn.Module):
    """A restriction to, or an interpolation from, a level: a strided convolution, or bmm where boxes differ."""

    def __init__(self, spec: NetworkSpec, level: int, up: bool):
        super().__init__()
        self.up, self.local, self.dimension = up, spec.layers == "lc", spec.dimension
        self.side = spec.box_size if level == spec.levels else 2
        channels = 1 if level == spec.levels else spec.rank
        blocked = channels * self.side**self.dimension
        convolution = nn.Conv1d if self.dimension == 1 else nn.Conv2d
        if self.local:
            inputs, outputs = (spec.rank, blocked) if up else (blocked, spec.rank)
            self.weight = nn.Parameter(torch.empty(2**level, inputs, outputs))
            self.bias = nn.Parameter(torch.empty(2**level, 1, outputs))
        elif up:
            self.convolution = convolution(spec.rank, blocked, 1)
        else:
            self.convolution = convolution(channels, spec.rank, self.side, stride=self.side)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, *boxes) to the level above or below."""
        if self.local:
            x = x if self.up else gather_boxes(x, self.side, self.dimension)
            x = torch.baddbmm(self.bias, x.permute(2, 0, 1), self.weight).permute(1, 2, 0)
        else:
            x = self.convolution(x)
        return scatter_boxes(x, self.side, self.dimension) if self.up else x

    def load(self, weight: Tensor, bias: Tensor) -> None:
        """Take up the weights of a layer of ours, ([boxes,] taps, out, in) and its bias."""
        bias = bias.flatten(-2) if self.up else bias
        if self.local:
            matrix = weight.flatten(1, 2).transpose(1, 2) if self.up else weight.transpose(2, 3).flatten(1, 2)
            self.weight.data, self.bias.data = matrix.contiguous(), bias.unsqueeze(1)
        else:
            matrix = weight.flatten(0, 1) if self.up else weight.permute(1, 2, 0)
            self.convolution.weight.data = matrix.reshape(self.convolution.weight.shape).contiguous()
            self.convolution.bias.data = bias


def gather_boxes(x: Tensor, side: int, dimension: int) -> Tensor:
    """Map (batch, channels, *points) to (batch, side^d channels, *boxes): ReshapeT of the paper."""
    if dimension == 1:
        return x.unflatten(2, (-1, side)).permute(0, 3, 1, 2).flatten(1, 2)
    x = x.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    return x.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


def scatter_boxes(x: Tensor, side: int, dimension: int) -> Tensor:
    """Inverse of `gather_boxes`: ReshapeM of the paper."""
    if dimension == 1:
        return x.unflatten(1, (side, -1)).permute(0, 2, 3, 1).flatten(2)
    x = x.unflatten(1, (side, side, -1))
    return x.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


class PlainNetwork(nn.Module):
    """MNN-H² with CNN or LC layers, Algorithm 4 of the paper, of torch.nn layers with the batch first."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.spec = spec = network.spec
        levels, points = spec.level_range(), spec.box_size**spec.dimension
        depth = range(1, spec.depth + 1)
        adjacent = {f"adjacent:{k}": PlainLayer(spec, spec.levels, ADJACENT_BAND, points) for k in depth}
        kernel = {f"kernel:{v}:{k}": PlainLayer(spec, v, band(v), spec.rank) for v in levels for k in depth}
        restriction = {f"restriction:{v}": PlainTransfer(spec, v, up=False) for v in levels}
        interpolation = {f"interpolation:{v}": PlainTransfer(spec, v, up=True) for v in levels}
        self.layers = nn.ModuleDict(adjacent | kernel | restriction | interpolation)
        state = {name: tensor[0] for name, tensor in network.state_dict().items()}
        for name, layer in self.layers.items():
            layer.load(*(state[f"{name.replace(':', '.')}.{part}"].clone() for part in ("weight", "bias")))

    def forward(self, v: Tensor) -> Tensor:
        """Map (batch, *shape) to (batch, *shape)."""
        spec, layers, v = self.spec, self.layers, v.unsqueeze(1)
        near = gather_boxes(v, spec.box_size, spec.dimension)
        for k in range(1, spec.depth + 1):
            near = layers[f"adjacent:{k}"](near if k == 1 else torch.relu(near))
        zeta = {spec.levels + 1: v}
        for level in reversed(spec.level_range()):
            zeta[level] = layers[f"restriction:{level}"](zeta[level + 1])
        chi = 0
        for level in spec.level_range():
            for k in range(1, spec.depth + 1):
                zeta[level] = torch.relu(layers[f"kernel:{level}:{k}"](zeta[level]))
            chi = layers[f"interpolation:{level}"](chi + zeta[level])
        return (chi + scatter_boxes(near, spec.box_size, spec.dimension)).squeeze(1)


Side = Callable[[], None]
"""Runs a side once: a step, or a batch of inference."""


def training_step(model: Callable[[Tensor], Tensor], v: Tensor, u: Tensor, zero: Side, update: Side) -> Side:
    """Return a training step on a batch."""

    def step() -> None:
        zero()
        functional.mse_loss(model(v), u).backward()
        update()

    return step


def inference(model: Callable[[Tensor], Tensor], v: Tensor) -> Side:
    """Return a forward pass that keeps nothing."""

    def run() -> None:
        with torch.no_grad():
            model(v)

    return run


def fast_step(spec: dict, seed: int, v: Tensor, u: Tensor, optimiser: type) -> Side:
    """Return a training step of ours: compiled kernels, weights and gradients in one buffer each."""
    network = mnn.network(**spec, seed=seed, initial="positive")
    flat = FlatParameters(network)
    compiled.bind(network, flat.weights, flat.gradients)
    return training_step(network, v, u, flat.gradients.zero_, partial(optimiser(flat).step, 1e-3))


def plain_step(model: nn.Module, v: Tensor, u: Tensor) -> Side:
    """Return a training step of torch's own layers and Nadam."""
    optimiser = torch.optim.NAdam(model.parameters(), lr=1e-3, eps=1e-7, momentum_decay=4e-3)
    return training_step(model, v, u, optimiser.zero_grad, optimiser.step)


def fourier_operator(case: Case) -> nn.Module | None:
    """Return neuraloperator's Fourier neural operator, or None where the package is not installed."""
    try:
        from neuralop.models import FNO
    except ImportError:
        return None
    channels, modes = case.fourier
    dimension = len(case.spec["shape"])
    sizes = {"n_modes": (modes,) * dimension, "hidden_channels": channels, "n_layers": 4}
    operator = FNO(in_channels=1, out_channels=1, **sizes)
    return _Squeezed(operator)


class _Squeezed(nn.Module):
    """A model of fields with a channel, without it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, v: Tensor) -> Tensor:
        return self.model(v.unsqueeze(1)).squeeze(1)


def sides(case: Case, seed: int) -> dict[str, Side]:
    """Make what is compared in a case, after a check that both networks are the same function."""
    generator = torch.Generator().manual_seed(seed)
    v, u = torch.randn(2, case.batch, *case.spec["shape"], generator=generator)
    network = mnn.network(**case.spec, seed=seed, initial="positive")
    plain = PlainNetwork(network)
    with torch.no_grad():
        expected, found = plain(v[:3]), network(v[:3])
    if (found - expected).abs().max() > EQUAL * expected.abs().max():
        raise SystemExit(f"error: {case.name}: plain torch and the compiled network differ")
    fourier = fourier_operator(case) if case.fourier else None
    if not case.training:
        models = {"fast": network, "plain": plain, "fourier": fourier}
        return {name: inference(model, v) for name, model in models.items() if model is not None}
    steps = {"fast": fast_step(case.spec, seed, v, u, Nadam), "plain": plain_step(plain, v, u)}
    steps["soap"] = fast_step(case.spec, seed, v, u, Soap)
    if fourier is not None:
        steps["fourier"] = plain_step(fourier, v, u)
    return steps


def rates(runs: dict[str, Side]) -> dict[str, float]:
    """Return how often a second each side runs: medians over turns taken one after the other."""
    found = {name: [] for name in runs}
    for run in chain(runs.values(), runs.values()):
        run()
    for _ in range(TURNS):
        for name, run in runs.items():
            count, began = 0, time.process_time()
            while (passed := time.process_time() - began) < LEAST_SECONDS or not count:
                run()
                count += 1
            found[name].append(count / passed)
    return {name: statistics.median(values) for name, values in found.items()}


def measure(case: Case) -> Measurement:
    """Measure a case for all seeds."""
    square = torch.ones(GEMM_SIDE, GEMM_SIDE)
    product = torch.empty_like(square)
    found = []
    for seed in range(SEEDS):
        runs = sides(case, seed)
        found.append(rates(runs | {"gemm": partial(torch.mm, square, square, out=product)}))
    rate = {name: case.batch * statistics.median(each[name] for each in found) for name in found[0]}
    gemm = 2 * GEMM_SIDE**3 * rate["gemm"] / case.batch
    spec = NetworkSpec.from_dict(case.spec)
    operations = (6 if case.training else 2) * sum(size.operations for size in layer_sizes(spec))
    return Measurement(
        case=case.name,
        fast=rate["fast"],
        plain=rate["plain"],
        ratio=statistics.median(each["fast"] / each["plain"] for each in found),
        floor=case.floor or 0.0,
        gemm_share=operations * rate["fast"] / gemm,
        gemm_gflops=gemm / 1e9,
        soap=rate.get("soap", 0.0),
        fourier=rate.get("fourier", 0.0),
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, metavar="NAME", help=f"one of: {', '.join(CASES)}")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    print(_row("case", "fast /s", "plain /s", "ratio", "floor", "of GEMM", "GFLOP/s", "SOAP /s", "FNO /s"), flush=True)
    for name in options.case or CASES:
        found.append(measure(CASES[name]))
        print(_row(*_cells(found[-1])), flush=True)
    if not any(each.fourier for each in found):
        print("FNO: not measured, the package neuraloperator is not installed")
    if options.csv is not None:
        _write(options.csv, found)
    return 0 if all(each.reached for each in found) else 1


def _cells(found: Measurement) -> list[str]:
    rest = [f"{rate:.4g}" if rate else "-" for rate in (found.soap, found.fourier)]
    floor = f"{found.floor:.1f}" if found.floor else "-"
    share = f"{100 * found.gemm_share:.0f}%"
    cells = [found.case, f"{found.fast:.5g}", f"{found.plain:.4g}", f"{found.ratio:.1f}", floor, share]
    return [*cells, f"{found.gemm_gflops:.0f}", *rest, "" if found.reached else "short"]


def _row(name: str, *cells: str) -> str:
    return f"{name:<14}" + "".join(f"{cell:>10}" for cell in cells)


def _write(path: Path, found: list[Measurement]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Measurement)])
        writer.writeheader()
        writer.writerows(asdict(each) for each in found)


if __name__ == "__main__":
    sys.exit(main())
