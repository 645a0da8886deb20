"""The manifest of a run: the same numbers give the same, one changed number is found and named."""

import json

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file, save_file

from workflow import manifest

RESULTS = "results/quick"
SHARD = "data/nlse_1d/train/000000-000032.nc"
MODEL = "models/nlse_1d/small_r2_K2_n32_default/model.safetensors"

pytestmark = pytest.mark.workflow


def verify(*paths):
    return manifest.main(["verify", *map(str, paths)])


def test_it_lists_every_result_with_what_it_was_made_from(finished):
    results = json.loads((finished.folder / RESULTS / "manifest.json").read_text())["results"]
    made = [path.relative_to(finished.folder / RESULTS) for path in (finished.folder / RESULTS).glob("*/**/*.*")]
    other = ("logs", "benchmarks", "cards")  # the pages of the report show what is listed
    kept = [path.as_posix() for path in made if path.parts[0] not in other and path.suffix != ".txt"]
    assert sorted(results) == sorted(kept)
    assert results[SHARD]["spec"]["seed"] == 1
    assert results[MODEL]["spec"]["network"]["rank"] == 2
    assert {"torch", "numpy"} <= results[MODEL]["versions"].keys()


def test_a_run_on_one_rank_with_other_shards_gives_the_same_fields_and_weights(finished, clone):
    clone.configure(lambda config: config.update(ranks=1))
    clone.run(f"{RESULTS}/{MODEL}")
    first, second = (manifest.manifest(made.folder / RESULTS)["results"] for made in (finished, clone))
    assert second[MODEL]["checksum"] == first[MODEL]["checksum"]
    assert {SHARD, MODEL} <= second.keys()
    assert all(second[name] == first[name] for name in second if name.startswith("data"))


def test_the_files_beside_a_manifest_are_verified(finished, capsys):
    assert verify(finished.folder / RESULTS / "manifest.json") == 0
    assert "the same in both" in capsys.readouterr().out


def test_a_changed_number_is_named(finished, tmp_path, capsys):
    other = finished.copy(tmp_path / "other").folder / RESULTS
    shard = xr.load_dataset(other / SHARD)
    shard["ground_state"][3, 5] = np.nextafter(shard["ground_state"][3, 5].astype("f4"), np.float32(2))
    shard.to_netcdf(other / SHARD)
    weights = load_file(other / MODEL)
    name = sorted(weights)[0]
    weights[name] = weights[name].copy()
    weights[name].flat[0] += 1
    save_file(weights, other / MODEL, metadata=metadata(other / MODEL))
    (other / "figures/fig_rank.png").unlink()
    assert verify(other / "manifest.json") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [SHARD, "figures/fig_rank.png", MODEL]
    assert lines[1].endswith("only in the first")


def metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.metadata()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "results": {}}'])
def test_what_is_no_manifest_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        verify(path)
    assert str(error.value).startswith(f"{path}: ")
