"""What a tier of config.yaml asks for and how long it trains: ``python -m benchmarks.study --tier paper``.

Counts of data sets, samples, networks and seeds; core hours from the speed of training steps on this machine, measured
in processor seconds of one thread for the largest network of every kind. The others of a kind cost less by their
number of operations.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
import yaml

from benchmarks.training import fast_step
from mnn.optimisers import OPTIMISERS
from mnn.parameters import layer_sizes
from mnn.recipes import RECIPES
from mnn.spec import NetworkSpec
from workflow.config import ConfigError
from workflow.study import Experiment, Study, study

BATCH = {1: 100, 2: 40, 3: 10}
"""Axes -> samples of a timed step."""
SECONDS = 2.0
"""Least processor time a kind is timed for."""


def operations(network: dict) -> int:
    """Multiplications with additions of a forward pass of one sample."""
    return sum(size.operations for size in layer_sizes(NetworkSpec(**network)))


def rate(experiment: Experiment) -> float:
    """Samples a processor second in training, of one member."""
    shape = tuple(experiment.network["shape"])
    v, u = torch.randn(2, BATCH[len(shape)], *shape, generator=torch.Generator().manual_seed(0))
    step = fast_step(experiment.network, 0, v, u, OPTIMISERS[RECIPES[experiment.training["recipe"]].optimiser])
    step()
    steps, began = 0, time.process_time()
    while (elapsed := time.process_time() - began) < SECONDS:
        step()
        steps += 1
    return steps * len(v) / elapsed


def kinds(made: Study) -> dict[tuple, list[Experiment]]:
    """Experiments by architecture, grid and recipe."""
    found = defaultdict(list)
    for experiment in made.experiments.values():
        network = experiment.network
        grid = " x ".join(map(str, network["shape"]))
        name = f"{network['architecture']} {network['layers']}"
        found[name, grid, experiment.training["recipe"]].append(experiment)
    return found


def samples(made: Study) -> dict[str, int]:
    """Samples that figures need of every data set, all splits together."""
    needed = {}
    for point in (point for points in made.points.values() for point in points):
        held = made.data[point.data].samples
        here = point.n_train + held["validation"] + held["test"]
        needed[point.data] = max(here, needed.get(point.data, 0))
    return needed


def visits(experiment: Experiment) -> int:
    """Samples times epochs times members."""
    return experiment.n_train * experiment.training["epochs"] * experiment.members


def main(arguments=None) -> int:
    """Count, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="default: %(default)s")
    parser.add_argument("--tier", help="default: the one the configuration names")
    options = parser.parse_args(arguments)
    config = yaml.safe_load(options.config.read_text())
    try:
        made = study(config | ({"tier": options.tier} if options.tier else {}))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    used = samples(made)
    print(f"{len(used)} data sets, {sum(used.values())} samples")
    print(_row("kind", "grid", "recipe", "networks", "seeds", "visits", "visits/s", "core hours"))
    total = 0.0
    for (name, grid, recipe), experiments in sorted(kinds(made).items()):
        largest = max(experiments, key=lambda experiment: operations(experiment.network))
        speed = rate(largest)
        work = sum(visits(e) * operations(e.network) for e in experiments) / operations(largest.network)
        total += (hours := work / speed / 3600)
        counts = len(experiments), sum(e.members for e in experiments), f"{sum(map(visits, experiments)):.2g}"
        print(_row(name, grid, recipe, *counts, f"{speed:.0f}", f"{hours:.1f}"), flush=True)
    seeds = sum(experiment.members for experiment in made.experiments.values())
    print(_row("all", "", "", len(made.experiments), seeds, "", "", f"{total:.0f}"))
    return 0


def _row(name, grid, recipe, *cells) -> str:
    return f"{name:<14}{grid:<10}{recipe:<9}" + "".join(f"{cell:>12}" for cell in cells)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
