"""How fast trained networks are beside the solvers they were trained on: ``python -m benchmarks.surrogates``.

For each model three maps are timed on the same fields of its test set, in turns, so that all see the same machine:
the network in large batches, the fast solver in the blocks it takes, and a straightforward solver, as one would write
it first, sample by sample. One thread, but for a network on a GPU. Rates are samples a second, medians over turns.
"""

import argparse
import csv
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from solvers.command import run_on_one_thread

if __name__ == "__main__":
    run_on_one_thread()  # before anything heavy is imported

import numpy as np

import mnn
import solvers
from benchmarks.solvers import kohn_sham, nlse, radiative_transfer
from mnn import command, data
from mnn.surrogate import Surrogate
from solvers import Problem

BATCH = {1: 1000, 2: 200, 3: 20}
"""Axes -> samples a network is given at once."""
SECONDS = 0.3
"""Least time of a turn."""
TURNS = 3
LONG = 2.0
"""Seconds of a turn that is not repeated."""
MODULES = {"nlse": nlse, "rte": radiative_transfer, "kohn_sham": kohn_sham}
"""Problems with a straightforward solver and where it is; others have their robust method."""


@dataclass(frozen=True)
class Speed:
    """Samples a second of a network and of two solvers, and what either costs in accuracy.

    Attributes
    ----------
    curve, problem : str
        The network's name, and the problem with its grid.
    batch : int
        Samples the network is given at once.
    device : str
        Where the network ran; solvers run on one core.
    network_per_second, fast_per_second, straightforward_per_second : float
    over_fast, over_straightforward : float
        The network's rate over that of the fast and of the straightforward solver.
    network_error, straightforward_error : float
        Mean relative errors (4.1) over the samples solved, against the data set.
    verdict : str
        Which of network and fast solver is the faster one.
    """

    curve: str
    problem: str
    batch: int
    device: str
    network_per_second: float
    fast_per_second: float
    straightforward_per_second: float
    over_fast: float
    over_straightforward: float
    network_error: float
    straightforward_error: float
    verdict: str


@dataclass
class Timed:
    """A map from fields to solutions and what it is given, again and again; each field counts ``weight`` times."""

    solve: Callable[[np.ndarray], np.ndarray]
    field: np.ndarray
    weight: int = 1
    rates: list[float] = field(default_factory=list)
    values: np.ndarray | None = None

    def turn(self) -> None:
        """Measure samples a second over at least SECONDS; what takes much longer has one turn only."""
        if self.rates and len(self.field) < LONG * self.rates[0]:
            return
        times, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < SECONDS:
            self.values = self.solve(self.field)
            times += 1
        self.rates.append(times * len(self.field) * self.weight / elapsed)

    def error(self, expected: np.ndarray) -> float:
        """Mean over samples, and members where there are, of the relative error (4.1)."""
        expected, axes = expected[: len(self.field)], tuple(range(1 - expected.ndim, 0))
        return float(np.sqrt(((self.values - expected) ** 2).sum(axis=axes) / (expected**2).sum(axis=axes)).mean())


def straightforward(problem: Problem) -> Callable[[np.ndarray], np.ndarray]:
    """Return the solver that one would write first, or the robust method of a problem that has none here."""
    if problem.name in MODULES:
        return MODULES[problem.name].straightforward(problem)
    return lambda field: problem.solve(field, problem.robust).values


def affordable(solve: Callable, inputs: np.ndarray) -> int:
    """Fields that can be solved in SECONDS, at least one."""
    began = time.perf_counter()
    solve(inputs[:1])
    return int(np.clip(SECONDS / (time.perf_counter() - began), 1, len(inputs)))


def measure(label: str, problem: Problem, surrogate: Surrogate, samples: data.FieldSet) -> Speed:
    """Time a network and both solvers of its problem on samples of its test set."""
    batch, plain = BATCH[len(problem.shape)], straightforward(problem)
    inputs, expected = samples.input.astype(np.float64), samples.output.astype(np.float64)
    contestants = [
        Timed(lambda v: surrogate(v, member="all"), samples.input[:batch], surrogate.members),
        Timed(lambda v: problem.solve(v).values, inputs[: problem.block_size]),
        Timed(plain, inputs[: affordable(plain, inputs)]),
    ]
    for one in contestants[:2]:
        one.solve(one.field)  # compiles what is to be compiled
    for _ in range(TURNS):
        for one in contestants:
            one.turn()
    network, fast, slow = (statistics.median(one.rates) for one in contestants)
    return Speed(
        curve=label,
        problem=f"{problem.title}, {' x '.join(map(str, problem.shape))}",
        batch=len(samples.input[:batch]),
        device=str(surrogate.device),
        network_per_second=network,
        fast_per_second=fast,
        straightforward_per_second=slow,
        over_fast=network / fast,
        over_straightforward=network / slow,
        network_error=contestants[0].error(expected),
        straightforward_error=contestants[2].error(expected),
        verdict=verdict(network / fast),
    )


def verdict(ratio: float) -> str:
    """Say which is faster, the network or the fast solver."""
    if ratio >= 1:
        return f"the network is {ratio:.2g} times as fast as the fast solver"
    return f"the fast solver is {1 / ratio:.2g} times as fast as the network"


def load(row: dict, device) -> tuple[str, Problem, Surrogate, data.FieldSet]:
    """Take what a row names from its files."""
    problem = solvers.problem(**row["problem"])
    shards = Path(row["test"]).read_text().split()
    count = min(max(BATCH[len(problem.shape)], problem.block_size), row["n_test"])
    return row["label"], problem, mnn.load(row["model"], device), data.read(shards, count, "test")


def main(arguments=None) -> int:
    """Time the models of all rows, write and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surrogates", description=__doc__.splitlines()[0])
    keys = "`label`, `problem`, `model` (file), `test` (file that lists shards), `n_test`"
    parser.add_argument("--rows", required=True, type=json.loads, help=f"what to time: list of {keys}, JSON")
    parser.add_argument("--output", required=True, type=Path, help="CSV file to write")
    parser.add_argument("--device", default="cpu", help="of the networks: cpu (default), cuda or auto")
    options = parser.parse_args(arguments)
    device = command.device(options.device, 1)
    found = []
    for row in options.rows:
        found.append(measure(*load(row, device)))
        print(f"{found[-1].curve}: {found[-1].verdict}", flush=True)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [entry.name for entry in fields(Speed)])
        writer.writeheader()
        writer.writerows({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in asdict(s).items()} for s in found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
