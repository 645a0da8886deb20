"""Cost of the networks against the number of points N: ``python -m benchmarks.networks``.

Operations, parameters and bytes by count; the time of a forward and backward pass by measurement: processor seconds of
one thread, the least of several turns taken one after the other. r = 6, K = 5, m = 5 as in section 4.1.1 of the paper;
the dense matrix is one linear layer with N² weights.
"""

import argparse
import csv
import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

import mnn
from mnn.parameters import layer_sizes
from mnn.spec import NetworkSpec

RANK, DEPTH, BOX = 6, 5, 5
LEVELS = range(4, 15)
"""N = 5 · 2^L: 80 .. 81920."""
DENSE_LEVELS = range(4, 13)
"""The dense matrix, up to N = 20480."""
TAIL = 5120
"""Exponents are fitted from this N on."""
BATCH = 16
TURNS = 5
NUMBER_BYTES = 4
CASES = {
    "MNN-H2 CNN": {"architecture": "mnn-h2", "layers": "cnn"},
    "MNN-H2 LC": {"architecture": "mnn-h2", "layers": "lc"},
    "MNN-H CNN": {"architecture": "mnn-h", "layers": "cnn"},
    "MNN-H LC": {"architecture": "mnn-h", "layers": "lc"},
}
DENSE = "dense"
MEASURES = ("operations", "parameters", "bytes", "seconds")


@dataclass(frozen=True)
class Cost:
    """What one network costs on one grid.

    Attributes
    ----------
    network : str
    points : int
        N.
    operations : int
        Multiplications with additions of a forward pass, one sample.
    parameters : int
    bytes : int
        Weights and the states of one batch, float32.
    seconds : float
        Processor time of one forward and backward pass of a batch, weights' gradients included.
    """

    network: str
    points: int
    operations: int
    parameters: int
    bytes: int
    seconds: float


def specification(name: str, levels: int) -> NetworkSpec:
    """Return a network of the comparison on the grid of 5 · 2^L points."""
    return NetworkSpec(shape=(BOX * 2**levels,), levels=levels, rank=RANK, depth=DEPTH, **CASES[name])


def counts(name: str, levels: int) -> dict[str, int]:
    """Return operations, parameters and bytes."""
    if name == DENSE:
        n = BOX * 2**levels
        operations, parameters, states = n**2, n**2, n
    else:
        sizes = list(layer_sizes(specification(name, levels)))
        operations, parameters, states = (
            sum(getattr(size, what) for size in sizes) for what in ("operations", "parameters", "states")
        )
    return {
        "operations": operations,
        "parameters": parameters,
        "bytes": NUMBER_BYTES * (parameters + BATCH * states),
    }


def step(name: str, levels: int) -> Callable[[], None]:
    """Return a function that runs one forward and backward pass."""
    n = BOX * 2**levels
    if name == DENSE:
        model = torch.nn.Linear(n, n, bias=False)
    else:
        model = mnn.network(**specification(name, levels).to_dict(), initial="positive")
    v, ones = torch.randn(BATCH, n, generator=torch.Generator().manual_seed(0)), torch.ones(BATCH, n)

    def run() -> None:
        model.zero_grad(set_to_none=True)
        model(v).backward(ones)

    return run


def measure(names: list[str], levels: int) -> list[Cost]:
    """Measure networks on one grid in turns, so that all see the same machine."""
    steps = {name: step(name, levels) for name in names}
    least = dict.fromkeys(names, float("inf"))
    for turn in range(TURNS + 1):
        for name, run in steps.items():
            began = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - began) if turn else float("inf")
    return [Cost(name, BOX * 2**levels, **counts(name, levels), seconds=least[name]) for name in names]


def keep_memory() -> None:
    """Have glibc keep freed memory, as a training loop's arrays stay: else every large array costs its page faults."""
    trim_threshold, mmap_max = -1, -4
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def exponent(costs: list[Cost], name: str, what: str) -> float:
    """Fit the power of N by which a cost grows from `TAIL` on."""
    tail = [cost for cost in costs if cost.network == name and cost.points >= TAIL]
    points, values = ([getattr(cost, key) for cost in tail] for key in ("points", what))
    return float(np.polyfit(np.log(points), np.log(values), 1)[0]) if len(tail) > 1 else float("nan")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__.splitlines()[0])
    parser.add_argument("--levels", type=int, default=LEVELS[-1], metavar="L", help="finest grid; default: %(default)s")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.levels not in LEVELS:
        print(f"--levels: {options.levels} given, {LEVELS[0]} to {LEVELS[-1]} allowed", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    keep_memory()
    costs = []
    print(_line("network", "N", "operations", "parameters", "bytes", "ms", "us a point"))
    for levels in range(LEVELS[0], options.levels + 1):
        found = measure([*CASES, *([DENSE] if levels in DENSE_LEVELS else [])], levels)
        costs += found
        print(*map(_row, found), sep="\n", flush=True)
    print(f"\ngrowth as N^p from N = {TAIL} on")
    print(_line("network", "", *MEASURES))
    for name in (*CASES, DENSE):
        print(_line(name, "", *(f"{exponent(costs, name, what):.2f}" for what in MEASURES)))
    if options.csv is not None:
        _write(options.csv, costs)
    return 0


def _row(cost: Cost) -> str:
    times = f"{1e3 * cost.seconds:.2f}", f"{1e6 * cost.seconds / (BATCH * cost.points):.3f}"
    return _line(cost.network, cost.points, cost.operations, cost.parameters, cost.bytes, *times)


def _line(name: str, points: int | str, *cells: int | str) -> str:
    return f"{name:<12}{points:>7}" + "".join(f"{cell:>14}" for cell in cells)


def _write(path: Path, costs: list[Cost]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Cost)])
        writer.writeheader()
        writer.writerows(asdict(cost) for cost in costs)


if __name__ == "__main__":
    sys.exit(main())
