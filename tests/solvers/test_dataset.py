"""The contract: what is written is what is read, and what was not written is refused by name."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest

from solvers import dataset
from solvers.dataset import DatasetError, Source
from solvers.problem import Quantity
from solvers.writer import Writer


def expected_checksum(fields):
    return "sha256:" + hashlib.sha256(fields.astype(fields.dtype.newbyteorder("<")).tobytes()).hexdigest()


def refused(path, *words, **options):
    with pytest.raises(DatasetError) as error:
        dataset.read(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def attribute(path, name, value=None):
    with netCDF4.Dataset(path, "a") as file:
        file.delncattr(name)
        if value is not None:
            file.setncattr(name, value)


@pytest.mark.parametrize("cuts", [(0, 20), (0, 7, 20), (0, 1, 2, 13, 20)])
def test_what_is_written_is_read_whatever_the_shards(samples, cuts):
    paths = [samples.shard(start, stop) for start, stop in pairwise(cuts)]
    data = dataset.read(reversed(paths))
    np.testing.assert_array_equal(data.input, samples.fields[:, 0])
    np.testing.assert_array_equal(data.output, samples.fields[:, 1])
    assert data.input.dtype == np.float32
    np.testing.assert_array_equal(data.coordinates["y"], np.arange(4) / 4)
    assert data.checksum == expected_checksum(samples.fields) == dataset.checksum(data.input, data.output, block=3)
    assert data.attrs["input_variable"] == "potential"
    assert data.attrs["output_units"] == "m-2"


def test_a_count_gives_the_first_samples_and_their_checksum(samples):
    paths = [samples.shard(0, 8), samples.shard(8, 20)]
    for count in (1, 8, 9):
        data = dataset.read(paths, count=count)
        np.testing.assert_array_equal(data.output, samples.fields[:count, 1])
        assert data.checksum == expected_checksum(samples.fields[:count])
    refused(paths, "21 samples wanted", "20", count=21)
    refused(paths, "0 samples wanted", count=0)


def test_blocks_are_small_and_make_up_the_whole(samples):
    source = Source([samples.shard(0, 8), samples.shard(8, 20)])
    assert (source.count, source.shape, source.dtype) == (20, (6, 4), np.float32)
    pairs = list(source.blocks(size=5, count=19))
    assert max(len(given) for given, _ in pairs) == 5
    np.testing.assert_array_equal(np.concatenate([given for given, _ in pairs]), samples.fields[:19, 0])


def test_blocks_may_be_written_in_any_order(samples, tmp_path):
    whole, path = samples.shard(0, 20), tmp_path / "shuffled.nc"
    with Writer(path, samples.header, 0, 20) as writer:
        for start, stop in ((15, 20), (3, 9), (9, 15), (0, 3)):
            writer.write(samples.block(start, stop))
    assert path.read_bytes() == whole.read_bytes()


def test_the_precision_is_that_of_the_header(tmp_path, samples):
    double = type(samples)(tmp_path / "double", precision="float64")
    data = dataset.read(double.shard(0, 20))
    assert data.input.dtype == np.float64
    np.testing.assert_array_equal(data.input, double.fields[:, 0])
    refused([samples.shard(0, 10), double.shard(10, 20)], "10-20.nc", "dtype float64 found, float32")


def test_a_file_appears_whole_or_not_at_all(samples, tmp_path):
    path = tmp_path / "new" / "shard.nc"
    with Writer(path, samples.header, 0, 20) as writer:
        writer.write(samples.block(0, 20))
        assert not path.exists()
    assert path.exists()
    path.unlink()
    with pytest.raises(DatasetError, match="samples from 5 on"), Writer(path, samples.header, 0, 20) as writer:
        writer.write(samples.block(0, 5))
    assert not os.listdir(path.parent)


def test_a_failure_leaves_the_older_file_alone(samples):
    path = samples.shard(0, 20)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), Writer(path, samples.header, 0, 20):
        raise ZeroDivisionError
    assert path.read_bytes() == before


FULL = """
import resource, sys
import numpy as np
from solvers.dataset import Block, DatasetError, Header
from solvers.problem import Quantity
from solvers.writer import write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
header = Header(Quantity("v", "v", "v"), Quantity("u", "u", "u"), (np.arange(100.0),))
try:
    write(sys.argv[1], header, Block(0, np.ones((1000, 2, 100), np.float32)))
except DatasetError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing(tmp_path):
    path = tmp_path / "folder" / "full.nc"
    run = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, timeout=60)
    assert f"{path}: cannot be written" in run.stdout
    assert len(run.stdout.splitlines()) == 1
    assert not os.listdir(path.parent)


def test_no_room_is_noticed_before_anything_is_made(samples, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(DatasetError, match="0 MB free"):
        samples.shard(0, 20)
    assert not os.listdir(tmp_path)


def test_a_directory_is_no_file(samples, tmp_path):
    (tmp_path / "0-20.nc").mkdir()
    with pytest.raises(DatasetError, match="is a directory"):
        samples.shard(0, 20)


def test_missing_and_foreign_files(samples, tmp_path):
    refused(tmp_path / "none.nc", "none.nc: no such file")
    refused([], "no file given")
    (tmp_path / "text.nc").write_text("not a data set")
    refused(tmp_path / "text.nc", "not a netCDF file")
    with netCDF4.Dataset(tmp_path / "foreign.nc", "w") as file:
        file.createDimension("time", 3)
        file.createVariable("temperature", "f4", ("time",))[:] = 1
    refused(tmp_path / "foreign.nc", "no attribute input_variable")


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.999])
def test_truncated_files(samples, fraction):
    path = samples.shard(0, 20)
    os.truncate(path, int(fraction * path.stat().st_size))
    refused(path, path.name, "truncated or damaged")


def test_renamed_variables(samples):
    path = samples.shard(0, 20)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("density", "rho")
    refused(path, "no variable density (output)", "rho")


@pytest.mark.parametrize("variable", ["potential", "density"])
def test_one_flipped_bit(samples, variable):
    path = samples.shard(0, 20)
    with netCDF4.Dataset(path, "a") as file:
        values = file[variable][13].data
        values.view(np.uint32)[2, 1] ^= 1
        file[variable][13] = values
    refused(path, path.name, "checksum mismatch")
    refused([path], "checksum mismatch", count=2)
    changed = dataset.read(path, verify=False)
    assert changed.checksum != expected_checksum(samples.fields)


@pytest.mark.parametrize("bad", [np.nan, np.inf, netCDF4.default_fillvals["f4"]])
def test_values_that_are_none(samples, bad):
    path = samples.shard(0, 20)
    with netCDF4.Dataset(path, "a") as file:
        file["potential"][4, 1, 2] = bad
    refused(path, "potential of sample 4", verify=False)


def test_shards_must_continue_one_another(samples):
    refused([samples.shard(0, 5), samples.shard(7, 20)], "7-20.nc", "begins at sample 7, 5 expected")
    refused([samples.shard(0, 5), samples.shard(3, 9)], "3-9.nc", "begins at sample 3, 5 expected")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attributes": {"spec": '{"seed":2}'}}, "of another data set"),
        ({"input": Quantity("field", "V", "potential")}, "input field found, potential"),
        ({"coordinates": (np.arange(6) / 6, 0.1 + np.arange(4) / 4)}, "grid differs"),
        ({"coordinates": (np.arange(6) / 6, np.arange(4.0) ** 2)}, "coordinate y is not uniform"),
    ],
)
def test_shards_must_be_alike(samples, change, words):
    other = samples.shard(8, 20, replace(samples.header, **change))
    refused([samples.shard(0, 8), other], "8-20.nc", words)


def test_the_sample_coordinate_must_be_consecutive(samples):
    path = samples.shard(0, 20)
    with netCDF4.Dataset(path, "a") as file:
        file["sample"][3] = 17
    refused(path, "sample is not consecutive")
    attribute(samples.shard(0, 20), "stop", 21)
    refused(path, "20 samples found, attributes say 0 to 21")


@pytest.fixture
def own(tmp_path):
    """A user's own file: no solver, no specification, no checksum."""
    path, generator = tmp_path / "own.nc", np.random.default_rng(1)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("event", 5), ("radius", 8), ("time", 3)):
            file.createDimension(name, size)
        for name in ("load", "stress"):
            variable = file.createVariable(name, "f8", ("event", "radius"))
            variable[:] = generator.random((5, 8))
        file.createVariable("counts", "i4", ("event", "radius"))[:] = 1
        file.createVariable("series", "f8", ("event", "time"))[:] = 1
    return path


def test_a_users_own_file(own):
    data = dataset.read(own, input_name="load", output_name="stress")
    with netCDF4.Dataset(own) as file:
        np.testing.assert_array_equal(data.output, file["stress"][:])
    assert (data.attrs["input_variable"], data.attrs["input_long_name"]) == ("load", "load")
    assert data.coordinates == {}
    assert "spec" not in data.attrs
    refused(own, "no attribute input_variable")
    refused(own, "no variable strain (output)", input_name="load", output_name="strain")
    refused(own, "counts int32", input_name="load", output_name="counts")
    refused(own, "same dimensions", input_name="load", output_name="series")
