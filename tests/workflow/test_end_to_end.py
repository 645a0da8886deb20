"""The whole chain on a tiny study: real solver under MPI, real training, real tables and figures."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from safetensors.numpy import load_file

pytestmark = pytest.mark.workflow

MODEL = "results/quick/models/nlse_1d/small_r2_K2_n64_default/model.safetensors"


def test_every_result_is_there(finished):
    results = finished.folder / "results/quick"
    for name in ("fig_rank", "fig_samples", "fig_predictions", "fig_cost", "fig_speed"):
        for suffix in ("pdf", "png", "svg"):
            assert (results / f"figures/{name}.{suffix}").stat().st_size > 5000
    assert "fig_rank" in (results / "summary.md").read_text()
    assert "sha256:" in (results / "cards/fig_predictions.html").read_text()


def test_tables_are_the_errors_of_the_samples(finished):
    results = finished.folder / "results/quick"
    table = pd.read_csv(results / "tables/fig_samples.csv")
    networks = table[table["kind"] == "network"]
    assert sorted(zip(networks["value"], networks["seed"], strict=True)) == [(32, 0), (32, 1), (64, 0), (64, 1)]
    row = networks[(networks["value"] == 64) & (networks["seed"] == 1)].iloc[0]
    with xr.open_dataset(results / "errors/nlse_1d/small_r2_K2_n64_default.nc") as errors:
        sample = errors["test_error"].values[1]
    assert row["test_mean"] == pytest.approx(sample.mean(), rel=1e-6)
    assert row["test_std"] == pytest.approx(sample.std(), rel=1e-6)


def test_reference_lines_are_in_the_tables(finished):
    results = finished.folder / "results/quick"
    table = pd.read_csv(results / "tables/fig_rank.csv")
    stored = json.loads((results / "errors/nlse_1d/baselines_n32.json").read_text())["baselines"]
    baselines = table[table["kind"] == "baseline"].set_index("curve")
    assert set(baselines.index) == {"mean predictor", "best linear map"}
    assert baselines.loc["best linear map", "test_mean"] == pytest.approx(stored["linear"]["test_mean"])


def test_errors_relative_to_the_signal_are_those_of_the_samples(finished):
    """In the table of a figure that asks for them; without wells u is 1."""
    results = finished.folder / "results/quick"
    table = pd.read_csv(results / "tables/fig_cost.csv").set_index(["kind", "curve"])
    assert set(table["relative_to"]) == {"signal"}
    (shard,) = (results / "data/nlse_1d/test").glob("*.nc")
    with xr.open_dataset(shard) as data:
        u = data["ground_state"].values.astype(float)
    ratio = np.linalg.norm(u, axis=1) / np.linalg.norm(u - 1, axis=1)
    with xr.open_dataset(results / "errors/nlse_1d/small_r2_K2_n32_default.nc") as errors:
        expected = (errors["test_error"].values * ratio).mean(axis=1)
    assert table.loc["network", "test_mean"].to_numpy() == pytest.approx(expected, rel=1e-4)
    stored = json.loads((results / "errors/nlse_1d/baselines_n32.json").read_text())["baselines"]["mean"]
    assert table.loc[("baseline", "mean predictor"), "test_mean"] == pytest.approx(stored["test_signal_mean"])
    assert ratio.min() * stored["test_mean"] < stored["test_signal_mean"] < ratio.max() * stored["test_mean"]


def test_networks_and_solvers_are_timed_side_by_side(finished):
    row = pd.read_csv(finished.folder / "results/quick/tables/fig_speed.csv").iloc[0]
    assert row["over_fast"] == pytest.approx(row["network_per_second"] / row["fast_per_second"], rel=0.02)
    assert row["straightforward_error"] < 1e-3 < row["network_error"]
    assert row["fast_per_second"] > 10 * row["straightforward_per_second"]
    faster = "network" if row["over_fast"] >= 1 else "fast solver"
    assert row["verdict"].startswith(f"the {faster} is ")


def test_a_figure_alone_makes_what_it_needs(clone):
    planned = clone.planned("results/quick/figures/fig_rank.svg")
    assert planned["train"] == 1
    assert planned["plot"] == 1


def kill_when(clone, appears, arguments):
    """Start Snakemake, kill it and all it started when a file appears."""
    running = subprocess.Popen(
        clone.command(*arguments),
        cwd=clone.folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 120
    while not any(clone.folder.glob(appears)):
        assert running.poll() is None, f"ended before {appears} was there"
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    clone.run("--unlock")


def variables(folder):
    return {
        (str(path.relative_to(folder)), name): values.values.tobytes()
        for path in sorted(folder.rglob("*.nc"))
        for name, values in xr.load_dataset(path).variables.items()
    }


def test_a_solve_killed_and_run_again_ends_with_the_same_fields(finished, clone):
    kill_when(clone, "results/quick/data/nlse_1d/train/*.nc*", ["data"])
    clone.run("data")
    assert variables(clone.folder / "results/quick/data") == variables(finished.folder / "results/quick/data")


def test_a_training_killed_and_run_again_ends_with_the_same_weights(finished, tmp_path):
    undisturbed, killed = (finished.copy(tmp_path / name) for name in ("undisturbed", "killed"))
    for clone in (undisturbed, killed):
        clone.configure(lambda config: config["training"]["default"].update(epochs=2000))
    undisturbed.run(MODEL)
    (killed.folder / MODEL).unlink()
    kill_when(killed, f"{MODEL.rpartition('/')[0]}/checkpoint_*.safetensors", [MODEL])
    assert not (killed.folder / MODEL).exists()
    killed.run(MODEL)
    expected, got = load_file(undisturbed.folder / MODEL), load_file(killed.folder / MODEL)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
