"""What the paper's extensions bring on the 1D NLSE: ``python -m benchmarks.extensions``.

Section 5 of the paper proposes activation in restriction and interpolation, and other forms of the kernel part. Every
variant is trained alike: recipe ``default``, the same samples, epochs and seeds.
"""

import argparse
import csv
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

import mnn
import solvers
from mnn.normalise import fit
from mnn.recipes import recipe
from mnn.training import Plan, Samples, Training, errors
from solvers.wells import Wells, draw, synthesise

SHAPE, LEVELS = (320,), 6
SEEDS = (0, 1, 2)
SEED = 2019
WELLS = Wells(wells=2, strength=(1.0, 4.0), variance=(2e-3, 4e-3), centre=(0.0, 1.0))
VARIANTS = {
    "chain": {},
    "nonlinear transfer": {"transfer": "nonlinear"},
    "nonlinear transfer, 2 layers": {"transfer": "nonlinear", "transfer_depth": 2},
    "residual": {"kernel": "residual"},
    "residual, nonlinear transfer": {"kernel": "residual", "transfer": "nonlinear"},
    "parallel": {"kernel": "parallel"},
    "parallel, nonlinear transfer": {"kernel": "parallel", "transfer": "nonlinear"},
    "chain, 2K layers": {"depth": 2},
}
"""Changes to the network; ``depth`` is a factor, for as many kernel layers as two parallel chains have."""


@dataclass(frozen=True)
class Outcome:
    """Errors (4.1) of one variant, means over the test set, and its cost."""

    variant: str
    rank: int
    depth: int
    parameters: int
    best: float
    median: float
    worst: float
    seconds: float


def data(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw fields of two wells and solve for them: (count, 320) each."""
    problem = solvers.problem("nlse", shape=SHAPE, beta=10.0)
    field = synthesise(WELLS, problem, draw(WELLS, problem, SEED, split, 0, count))
    return field, problem.solve(field).values


def train(variant: str, rank: int, depth: int, epochs: int, sets: dict) -> Outcome:
    """Train the members of one variant and measure them on the test set."""
    change = dict(VARIANTS[variant])
    depth *= change.pop("depth", 1)
    chosen = recipe("default")
    options = {"shape": SHAPE, "levels": LEVELS, "rank": rank, "depth": depth, **change}
    network = mnn.network(**options, members=len(SEEDS), seed=SEEDS, initial=chosen.initial)
    statistics = fit(*sets["train"], chosen.statistics_for(network.spec))
    samples = {name: Samples.prepare(*pair, statistics, torch.device("cpu")) for name, pair in sets.items()}
    plan = Plan(chosen, epochs, len(samples["train"]) // chosen.batches, SEEDS)
    training = Training(network, plan, samples["train"], samples["validation"])
    began = time.perf_counter()
    training.run(after_step=lambda _: False, after_epoch=lambda _: None)
    seconds = time.perf_counter() - began
    with training.result() as result:
        found = sorted(errors(result, samples["test"]).mean(1).tolist())
    quantiles = found[0], found[len(found) // 2], found[-1]
    return Outcome(variant, rank, depth, mnn.count_parameters(network), *quantiles, seconds)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extensions", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rank", type=int, default=6, metavar="r", help="channels; default: %(default)s")
    add("--depth", type=int, default=5, metavar="K", help="kernel layers; default: %(default)s")
    add("--samples", type=int, default=1000, help="training samples; default: %(default)s")
    add("--epochs", type=int, default=25, help="default: %(default)s")
    add("--variant", action="append", choices=VARIANTS, help="may be repeated; default: all")
    add("--csv", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts = {"train": options.samples, "validation": options.samples // 10, "test": 1000}
    sets = {split: data(split, count) for split, count in counts.items()}
    print(f"{'variant':<30}{'parameters':>11}{'best':>10}{'median':>10}{'worst':>10}{'seconds':>9}")
    outcomes = []
    for variant in options.variant or VARIANTS:
        outcomes.append(outcome := train(variant, options.rank, options.depth, options.epochs, sets))
        quantiles = f"{outcome.best:>10.2e}{outcome.median:>10.2e}{outcome.worst:>10.2e}"
        print(f"{variant:<30}{outcome.parameters:>11}{quantiles}{outcome.seconds:>9.1f}", flush=True)
    if options.csv is not None:
        _write(options.csv, outcomes)
    return 0


def _write(path: Path, outcomes: list[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Outcome)])
        writer.writeheader()
        writer.writerows(asdict(outcome) for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
