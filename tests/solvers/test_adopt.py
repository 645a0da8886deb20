"""Files of one's own as shards: the same numbers, honouring the format; what cannot be adopted is told in one line."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from solvers import adopt, check, dataset


@pytest.fixture
def own(tmp_path):
    """Write a user's file and return its path; what is given replaces what a good file has."""

    def make(**changes):
        generator = np.random.default_rng(5)
        load, strain = (generator.standard_normal((50, 24)) for _ in range(2))
        parts = {
            "load": ("event", "radius"),
            "strain": ("event", "radius"),
            "radius": 2 + np.arange(24) / 8,
            "dtype": "float64",
        } | changes
        variables = {
            "load": (parts["load"], load.astype(parts["dtype"]), {"long_name": "surface load", "units": "N"}),
            "strain": (parts["strain"], strain, {}),
        }
        coordinates = {} if parts["radius"] is None else {"radius": parts["radius"]}
        path = tmp_path / "own.nc"
        xr.Dataset(variables, coordinates, {"title": "Pressed discs"}).to_netcdf(path)
        return path

    return make


def run(monkeypatch, capsys, module, *arguments):
    """Exit code and both streams of a command line."""
    monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
    code = module.main()
    return code, *capsys.readouterr()


def test_shards_hold_the_samples_of_the_file(own, tmp_path, monkeypatch, capsys):
    path, names = own(), ["--variables", "load", "strain"]
    shards = [tmp_path / "20.nc", tmp_path / "40.nc"]
    for shard, start, stop in zip(shards, (0, 20), (20, 45), strict=True):
        bounds = ["--start", start, "--stop", stop, "--precision", "float64", "--periodic", "--output", shard]
        assert run(monkeypatch, capsys, adopt, path, *names, *bounds)[0] == 0
    data = dataset.read(shards)
    with xr.open_dataset(path) as file:
        np.testing.assert_array_equal(data.input, file["load"][:45])
        np.testing.assert_array_equal(data.output, file["strain"][:45])
        np.testing.assert_array_equal(data.coordinates["radius"], file["radius"])
    assert [data.attrs[f"input_{name}"] for name in ("variable", "long_name", "units")] == ["load", "surface load", "N"]
    assert (data.attrs["periodic"], data.attrs["title"]) == (1, "Pressed discs")
    assert data.checksum == dataset.checksum(data.input, data.output)
    assert check.check(shards[1])["samples"] == 25


def test_a_shard_depends_on_its_samples_alone(own, tmp_path):
    source = dataset.inspect(own(), "load", "strain")
    for name, stop in (("one.nc", 30), ("two.nc", 30)):
        adopt.adopt(source, 10, stop, tmp_path / name)
    assert (tmp_path / "one.nc").read_bytes() == (tmp_path / "two.nc").read_bytes()
    shard = dataset.inspect(tmp_path / "one.nc")
    assert (shard.start, shard.count, shard.dtype) == (10, 20, np.float32)


def test_a_large_grid_is_adopted_a_few_samples_at_a_time(own, tmp_path, monkeypatch):
    source = dataset.inspect(own(), "load", "strain")
    adopt.adopt(source, 10, 41, tmp_path / "at_once.nc")
    monkeypatch.setattr(dataset, "POINTS_AT_ONCE", 100)
    assert [len(load) for load, _ in source.blocks(stop=10)] == [4, 4, 2]
    adopt.adopt(source, 10, 41, tmp_path / "in_parts.nc")
    assert (tmp_path / "at_once.nc").read_bytes() == (tmp_path / "in_parts.nc").read_bytes()


def test_points_without_a_coordinate_are_numbered(own, tmp_path):
    adopt.adopt(dataset.inspect(own(radius=None), "load", "strain"), 0, 50, tmp_path / "shard.nc")
    np.testing.assert_array_equal(dataset.inspect(tmp_path / "shard.nc").coordinates["radius"], np.arange(24))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--stop", 51], 2, "start, stop: 0, 51 given, 0 <= start < stop <= 50 allowed"),
        (["--stop", 0], 2, "start, stop: 0, 0 given"),
        (["--stop", 5, "--precision", "half"], 2, "precision: 'half' given"),
        (["--stop", 5, "--variables", "load", "stress"], 1, "no variable stress (output), there is load, strain"),
        ([], 2, "--stop"),
    ],
)
def test_mistakes_on_the_command_line(own, tmp_path, monkeypatch, capsys, options, code, words):
    shard = tmp_path / "shard.nc"
    arguments = [own(), "--variables", "load", "strain", "--output", shard, *options]
    found, _, text = run(monkeypatch, capsys, adopt, *arguments)
    assert found == code
    assert text.startswith("adopt: ")
    assert text.count("\n") == 1
    assert words in text
    assert not shard.exists()


def change(path, name, value):
    with netCDF4.Dataset(path, "a") as file:
        file["load"].setncattr("missing_value", np.float64(-999))
        file[name][3] = value


@pytest.mark.parametrize("value", [np.nan, np.inf, -999.0])
def test_samples_with_gaps_are_refused_by_checker_and_adoption(own, tmp_path, monkeypatch, capsys, value):
    change(path := own(), "load", value)
    code, _, text = run(monkeypatch, capsys, check, path, "--variables", "load", "strain")
    assert code == 1
    assert "load of sample 3 of the file is NaN, infinite or missing\n  to mend: leave such samples out" in text
    arguments = [path, "--variables", "load", "strain", "--stop", 20, "--output", tmp_path / "shard.nc"]
    assert run(monkeypatch, capsys, adopt, *arguments)[0] == 1
    assert not (tmp_path / "shard.nc").exists()


@pytest.mark.parametrize(
    ("changes", "wrong", "mend"),
    [
        ({"dtype": "int32"}, "load int32 and strain float64", 'data.astype("float32")'),
        ({"dtype": "float32"}, "load float32 and strain float64", 'data.astype("float32")'),
        ({"radius": np.arange(24.0) ** 2}, "radius is not uniform", "data.interp(radius=points)"),
        ({"radius": -np.arange(24.0)}, "radius is not uniform and increasing", "data.interp(radius=points)"),
        ({"load": ("event", "angle")}, "load(event: 50, angle: 24) and strain(event: 50, radius: 24)", "one grid"),
        (
            {"load": ("radius", "sample"), "strain": ("radius", "sample"), "radius": None},
            "sample expected as the first dimension",
            'data.transpose("sample", ...)',
        ),
    ],
)
def test_the_checker_says_what_is_wrong_and_how_to_mend_it(own, monkeypatch, capsys, changes, wrong, mend):
    code, _, text = run(monkeypatch, capsys, check, own(**changes), "--variables", "load", "strain")
    assert code == 1
    first, second = text.splitlines()
    assert wrong in first
    assert second.startswith("  to mend: ")
    assert mend in second


def test_the_checker_asks_for_names_and_tells_which_there_are(own, monkeypatch, capsys):
    code, _, text = run(monkeypatch, capsys, check, own())
    assert code == 1
    assert "no attribute input_variable" in text
    assert "--variables INPUT OUTPUT" in text
    assert "there is load(event: 50, radius: 24), strain(event: 50, radius: 24)" in text


def test_the_checker_suggests_a_network(own, tmp_path, monkeypatch, capsys):
    arguments = [path := own(), "--variables", "load", "strain"]
    code, text, _ = run(monkeypatch, capsys, check, *arguments)
    first, *rest = text.splitlines()
    assert code == 0
    assert first == f"{path}: ok: 50 samples, no checksum"
    assert [line.split(":")[0] for line in rest] == ["  grid", "  periodic", "  translation invariant", "  network"]
    assert "levels: 2, rank: 6" in rest[-1]
    _, text, _ = run(monkeypatch, capsys, check, *arguments, "--report", tmp_path / "report.json")
    assert text.splitlines() == [first]
