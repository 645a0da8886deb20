"""A cache shared by workflows: what one has solved and trained, another takes over, every shard its own."""

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file

pytestmark = pytest.mark.workflow

MODEL = "results/quick/models/nlse_1d/small_r2_K2_n64_default/model.safetensors"


def logs(clone):
    """Logs of solvers and trainings; they are empty where a result came from the cache."""
    return [path for rule in ("generate", "train") for path in clone.folder.glob(f"results/quick/logs/{rule}/**/*.log")]


def test_another_workflow_takes_data_and_models_from_the_cache(finished, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    first, second = (type(finished)(tmp_path / name) for name in ("first", "second"))
    first.run("--cache", "--", MODEL)
    second.run("--cache", "--", MODEL)
    made, taken = ([path.stat().st_size for path in logs(clone)] for clone in (first, second))
    assert len(made) == len(taken) == 4
    assert min(made) > 0
    assert max(taken) == 0
    expected, got = (load_file(clone.folder / MODEL) for clone in (finished, second))
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    shards = list(second.folder.glob("results/quick/data/**/*.nc"))
    assert len(shards) == 3
    for shard in shards:
        undisturbed = xr.load_dataset(finished.folder / shard.relative_to(second.folder))
        assert xr.load_dataset(shard).equals(undisturbed)
