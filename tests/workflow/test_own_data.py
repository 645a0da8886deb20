"""Data sets from a user's file: what is asked of the file, what is refused before any job, and the page itself."""

import copy
import json
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pages import follow
from test_config import set_at

from workflow.config import ConfigError
from workflow.study import study

ROOT = Path(__file__).resolve().parents[2]


def write(path, shape=(100, 32), attributes=None, **changes):
    generator = np.random.default_rng(0)
    axes = ("sample", "x", "y", "z")[: len(shape)]
    fields = {name: (axes, generator.standard_normal(shape)) for name in ("load", "strain")} | changes
    xr.Dataset(fields, attrs=attributes or {}).to_netcdf(path)


@pytest.fixture
def own(tiny, tmp_path):
    """The tiny study with a user's file of 100 samples as a second data set."""
    config = copy.deepcopy(tiny)
    write(tmp_path / "own.nc")
    config["data_sets"]["own"] = {
        "title": "Own",
        "path": str(tmp_path / "own.nc"),
        "input": "load",
        "output": "strain",
        "periodic": True,
        "samples": {"train": 70, "validation": 10, "test": 20},
        "shard": 32,
    }
    config["figures"]["fig_own"] = copy.deepcopy(config["figures"]["fig_rank"]) | {"data_set": "own"}
    return config


def test_splits_are_counted_off_the_file_in_order(own):
    data = study(own).data["own"]
    assert data.shape == (32,)
    assert data.shards("train", 70) == ["000000-000032", "000032-000064", "000064-000070"]
    assert data.shards("train", 33) == ["000000-000032", "000032-000064"]
    assert data.shards("validation", 10) == ["000070-000080"]
    assert data.shards("test", 20) == ["000080-000100"]
    names = ["--variables", "load", "strain"]
    assert data.options == [*names, "--periodic", "--precision", "float32"]


def test_what_the_file_says_need_not_be_said_again(own, tmp_path):
    said = {"input_variable": "strain", "output_variable": "load", "periodic": 0}
    write(tmp_path / "telling.nc", attributes=said)
    for key in ("input", "output", "periodic"):
        del own["data_sets"]["own"][key]
    own["data_sets"]["own"]["path"] = str(tmp_path / "telling.nc")
    assert study(own).data["own"].options == ["--no-periodic", "--precision", "float32"]


def drop(*names):
    def change(config):
        for name in names:
            del config["data_sets"]["own"][name]

    return change


MISTAKES = {
    "no file": (set_at("data_sets/own/path", "absent.nc"), ["data_sets.own.path: absent.nc: no such file"]),
    "a foreign file": (set_at("data_sets/own/path", str(ROOT / "Makefile")), ["data_sets.own.path", "not a netCDF"]),
    "no such variable": (
        set_at("data_sets/own/output", "stress"),
        ["data_sets.own.path", "no variable stress (output)", "load, strain"],
    ),
    "too few samples": (
        set_at("data_sets/own/samples/train", 71),
        ["data_sets.own.samples: train 71 + validation 10 + test 20 = 101 given", "holds 100"],
    ),
    "trained beyond the file": (
        set_at("figures/fig_own/n_train", 71),
        ["figures.fig_own.n_train: 71 given, at most 70", "data_sets.own.samples.train"],
    ),
    "a seed for a file": (
        set_at("data_sets/own/seed", 1),
        ["data_sets.own.seed: unknown key", "a file, it is not solved"],
    ),
    "a problem for a file": (set_at("data_sets/own/problem", {}), ["data_sets.own.problem: unknown key"]),
    "misspelt": (set_at("data_sets/own/peridoic", 1), ["data_sets.own.peridoic", "did you mean 'periodic'"]),
    "misspelt path": (
        lambda config: config["data_sets"]["own"].update(pth=config["data_sets"]["own"].pop("path")),
        ["data_sets.own.", "unknown key", "problem"],
    ),
    "one name": (drop("input"), ["data_sets.own.input: missing, output is given"]),
    "no names": (drop("input", "output"), ["data_sets.own.path", "no attribute input_variable", "solvers.check"]),
    "not said whether periodic": (drop("periodic"), ["data_sets.own.periodic: missing", "does not say"]),
    "not a boolean": (set_at("data_sets/own/periodic", "maybe"), ["data_sets.own.periodic: 'maybe' given", "boolean"]),
    "a swept file": (
        set_at("figures/fig_own/sweep", {"wells": [2]}),
        ["figures.fig_own.sweep.wells: 'own' is a file", "cannot be swept"],
    ),
    "levels that do not fit": (set_at("networks/small/levels", 6), ["networks.small.shape", "(80,)", "64"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_mend(own, mistake):
    change, words = MISTAKES[mistake]
    change(own)
    with pytest.raises(ConfigError) as error:
        study(own)
    assert "\n" not in str(error.value)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_predictions_are_not_drawn_in_three_dimensions(own, tmp_path):
    write(tmp_path / "space.nc", (100, 16, 16, 16))
    own["data_sets"]["own"]["path"] = str(tmp_path / "space.nc")
    own["networks"]["small"]["levels"] = 2
    assert study(own).data["own"].shape == (16, 16, 16)
    own["figures"]["fig_predictions"]["data_set"] = "own"
    own["figures"]["fig_predictions"]["n_train"] = 70
    with pytest.raises(ConfigError, match=r"figures.fig_predictions.kind: 'predictions' given, .* own is in 3D"):
        study(own)


@pytest.mark.workflow
def test_the_page_holds_what_it_promises(clone):
    """Every block of the page, in order: file, checker, configuration, run, prediction."""
    shutil.copy2(ROOT / "config.yaml", clone.folder / "config.yaml")
    assert follow(ROOT / "docs/own_data.md", clone.folder) == 8
    results = clone.folder / "results/quick"
    means = json.loads((results / "errors/burgers/baselines_n1000.json").read_text())["baselines"]
    with xr.open_dataset(results / "errors/burgers/burgers_r6_K5_n1000_default.nc") as errors:
        assert float(errors["test_error"].mean()) < 0.1 * means["linear"]["test_mean"]
    with xr.open_dataset(clone.folder / "burgers.nc") as file, xr.open_dataset(clone.folder / "test.nc") as shard:
        np.testing.assert_array_equal(shard["after"], file["after"][1200:].astype("float32"))
    again = ["burgers_error", "burgers_predictions", "--configfile", "burgers.yaml"]
    description = clone.folder / "burgers.yaml"
    text = description.read_text()
    description.write_text(text.replace("validation: 200", "validation: 150"))
    planned = clone.planned(*again)
    assert (planned["adopt"], planned["train"]) == (2, 1)  # the test samples begin earlier, the training set stays
    description.write_text(text)
    with netCDF4.Dataset(clone.folder / "burgers.nc", "a") as file:
        file["after"][0] = 0
    assert clone.planned(*again)["adopt"] == 3
