"""Errors and baselines against the same numbers computed by hand, from the files the commands write."""

import json

import fields
import numpy as np
import pytest
import xarray as xr

import mnn
from mnn import baselines, evaluate, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shards):
    folder = tmp_path_factory.mktemp("model")
    arguments = ["--network", json.dumps(fields.NETWORK), "--training", '{"epochs": 3, "members": 2, "batch_size": 8}']
    arguments += ["--train", shards.train, "--validation", shards.validation, "--threads", "1", "--device", "cpu"]
    arguments += ["--checkpoint", str(folder / "kept"), "--history", str(folder / "history.csv")]
    assert train.main([*arguments, "--model", str(folder / "model.safetensors")]) == 0
    return str(folder / "model.safetensors")


def measure(trained, shards, path, *more):
    arguments = [trained, "--train", shards.train, "--n-train", "40", "--test", shards.test, "--output", str(path)]
    assert evaluate.main([*arguments, "--device", "cpu", *more]) == 0
    return xr.load_dataset(path)


def test_errors_are_those_of_the_predictions(trained, shards, tmp_path):
    found = measure(trained, shards, tmp_path / "errors.nc")
    surrogate = mnn.load(trained)
    for role, seed, count in (("train", 0, 40), ("test", 2, 24)):
        v, u = (field[:count] for field in fields.pairs({"train": 64, "test": 24}[role], seed))
        expected = np.linalg.norm(surrogate(v, "all") - u, axis=2) / np.linalg.norm(u, axis=1)
        assert found[f"{role}_error"].dims == ("member", f"{role}_sample")
        np.testing.assert_allclose(found[f"{role}_error"], expected, rtol=1e-4)
        np.testing.assert_allclose(found[f"{role}_error_mean"], expected.mean(axis=1), rtol=1e-4)
        np.testing.assert_allclose(found[f"{role}_error_std"], expected.std(axis=1), rtol=1e-3)
    assert found.attrs["parameters"] == mnn.count_parameters(surrogate.network)
    assert json.loads(found.attrs["network"]) == surrogate.network.spec.to_dict()


def test_examples_run_from_the_best_to_the_worst(trained, shards, tmp_path):
    found = measure(trained, shards, tmp_path / "errors.nc", "--examples", "3")
    order = np.argsort(np.median(found["test_error"], axis=0))
    assert found["example"].values[[0, 2]].tolist() == order[[0, -1]].tolist()
    v, u = (field[found["example"].values] for field in fields.pairs(24, 2))
    np.testing.assert_array_equal(found["example_input"], v)
    np.testing.assert_array_equal(found["example_target"], u)
    np.testing.assert_allclose(found["example_prediction"], mnn.load(trained)(v, "all"), rtol=1e-5)
    assert found["example_input"].attrs["units"] == "m s-1"
    assert found["example_prediction"].attrs["units"] == "kg m-3"


def test_measured_twice_the_variables_are_the_same(trained, shards, tmp_path):
    first, second = (measure(trained, shards, tmp_path / name, "--examples", "2") for name in ("a.nc", "b.nc"))
    xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())


def test_another_grid_is_refused(trained, shards, tmp_path):
    moved = fields.shard(tmp_path / "moved.nc", 24, 2, x=fields.X + 0.5)
    with pytest.raises(
        ValueError, match=r"test: 32 points, x from 0\.5 to 1\.469 found, 32 points, x from 0 to 0\.9688"
    ):
        evaluate.main([trained, "--train", shards.train, "--test", moved, "--output", str(tmp_path / "e.nc")])
    assert not (tmp_path / "e.nc").exists()


def test_the_baselines_of_a_file(shards, tmp_path):
    arguments = [f"--{role}={getattr(shards, role)}" for role in ("train", "validation", "test")]
    assert baselines.main([*arguments, "--n-train", "50", "--output", str(tmp_path / "b.json")]) == 0
    found = json.loads((tmp_path / "b.json").read_text())["baselines"]
    mean, u = fields.pairs(64, 0)[1][:50].mean(axis=0), fields.pairs(24, 2)[1]
    errors = np.linalg.norm(mean - u, axis=1) / np.linalg.norm(u, axis=1)
    assert found["mean"]["test_mean"] == pytest.approx(errors.mean(), rel=1e-4)
    assert found["mean"]["test_std"] == pytest.approx(errors.std(), rel=1e-3)
    assert "translation-invariant" in found["linear"]["description"]
    assert found["linear"]["test_mean"] < found["mean"]["test_mean"]
