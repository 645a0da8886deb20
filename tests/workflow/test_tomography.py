"""The example that finds a coefficient from noisy pictures: all its ways find it, in a slab of few cells."""

import json
import re

import numpy as np
import pytest
import torch

from examples import tomography
from mnn import train
from mnn.surrogate import load
from solvers import problem
from solvers.dataset import inspect
from solvers.specification import Specification
from solvers.writer import write

PROBLEM = {"name": "rte", "shape": [64]}
FIELD = {"wells": 3, "sign": 1, "strength": [0, 0.3], "variance": [0.004, 0.006], "centre": [0.2, 0.8]}
NETWORK = {"layers": "mix", "padding": "zero", "levels": 4, "rank": 6, "depth": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model, and a shard of its test set."""
    folder = tmp_path_factory.mktemp("tomography")
    shards = {"train": [], "validation": [], "test": []}
    for split, blocks in (("train", 2), ("validation", 1), ("test", 1)):
        spec = Specification.make(problem=PROBLEM, field=FIELD, seed=1, split=split, precision="float32", method="fast")
        for index in range(blocks):
            shards[split].append(str(folder / f"{split}{index}.nc"))
            write(shards[split][-1], spec.header(), spec.block(index))
    arguments = ["--network", json.dumps(NETWORK), "--training", json.dumps({"epochs": 50}), "--threads", "1"]
    arguments += ["--device", "cpu", "--train", *shards["train"], "--validation", *shards["validation"]]
    for option, name in (("model", "model.safetensors"), ("history", "history.csv"), ("checkpoint", "kept.st")):
        arguments += [f"--{option}", str(folder / name)]
    assert train.main(arguments) == 0
    return folder


def test_all_ways_find_the_coefficient(trained, capsys):
    arguments = [str(trained / "model.safetensors"), str(trained / "test0.nc"), "--pictures", "3", "--length", "0.07"]
    tomography.main([*arguments, "--figure", str(trained / "found.png")])
    found = re.findall(r"^(\w.*?) +(0\.\d+) +\d+ +\d+\.\d+$", capsys.readouterr().out, re.MULTILINE)
    errors = {name: float(error) for name, error in found}
    assert errors["surrogate, L-BFGS"] < 0.1
    assert errors["solver, Gauss-Newton"] < 0.04
    assert errors["surrogate, then solver"] == pytest.approx(errors["solver, Gauss-Newton"], abs=0.01)
    assert (trained / "found.png").stat().st_size > 5000


def test_the_surrogate_s_gradient_is_the_solver_s(trained):
    """Derivative of the light's mean square when all bumps grow, sample by sample."""
    surrogate, source = load(trained / "model.safetensors"), inspect(trained / "test0.nc")
    field, slab = source.rows(np.arange(20))[:, 0].astype(np.float64), problem(**PROBLEM)
    more, less = (np.square(slab.solve(scale * field).values).mean(axis=1) for scale in (1.01, 0.99))
    given = torch.tensor(field, requires_grad=True)
    surrogate(given).square().mean(dim=1).sum().backward()
    derivative = (given.grad.numpy() * field).sum(axis=1)
    assert tomography.relative(derivative, (more - less) / 0.02) < 0.2
