"""Shards of a small map and the commands run on them in a process of their own."""

import json
import subprocess
import sys
from types import SimpleNamespace

import fields
import pytest


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    counts = {"train": 64, "validation": 16, "test": 24}
    return SimpleNamespace(
        **{role: fields.shard(folder / f"{role}.nc", count, seed) for seed, (role, count) in enumerate(counts.items())}
    )


@pytest.fixture
def command(shards):
    """Arguments of ``python -m mnn.train`` that write into a folder."""

    def make(folder, network=fields.NETWORK, n_train=64, every=0.0, **training):
        training = {"epochs": 12, "batch_size": 8, "members": 2, "seed": 3, **training}
        arguments = ["--network", json.dumps(network), "--training", json.dumps(training), "--n-train", str(n_train)]
        arguments += ["--train", shards.train, "--validation", shards.validation, "--checkpoint-every", str(every)]
        arguments += ["--threads", "1", "--device", "cpu"]
        for option, name in (("model", "model.safetensors"), ("history", "history.csv"), ("checkpoint", "kept.st")):
            arguments += [f"--{option}", str(folder / name)]
        return arguments

    return make


@pytest.fixture(scope="session")
def start():
    """Start ``python -m MODULE ARGUMENTS`` with its output captured."""

    def start(module, arguments):
        line = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start
