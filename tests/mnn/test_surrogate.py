"""A trained model as a function of numpy arrays, labelled arrays, tensors and files."""

import fields
import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

import mnn
from mnn import model_file, normalise, predict

GRID = {
    "shape": [fields.POINTS],
    "axes": {"x": fields.X.tolist()},
    "input": {"name": "velocity", "long_name": "velocity of the stream", "units": "m s-1"},
    "output": {"name": "density", "long_name": "density of the stream", "units": "kg m-3"},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    network = mnn.network(shape=(fields.POINTS,), **fields.NETWORK, members=3, seed=1, initial="positive")
    statistics = normalise.fit(*fields.pairs(64, 0), "pointwise")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_file.save(path, network.state_dict(), model_file.Model(network, statistics, GRID, {"epochs": 0}))
    return path


@pytest.fixture(scope="module")
def surrogate(path):
    return mnn.load(path)


@pytest.fixture(scope="module")
def expected(surrogate):
    """Outputs of every member on 7 fields, from the network and the statistics by hand."""
    v = fields.pairs(7, 3)[0]
    statistics = normalise.fit(*fields.pairs(64, 0), "pointwise")
    network = mnn.network(shape=(fields.POINTS,), **fields.NETWORK, members=3, seed=1, initial="positive")
    inputs = (v - statistics.input.shift.numpy()) / statistics.input.scale.numpy()
    with torch.no_grad():
        outputs = network(torch.from_numpy(inputs)).numpy()
    return v, outputs * statistics.output.scale.numpy() + statistics.output.shift.numpy()


def test_members_and_their_mean(surrogate, expected):
    v, u = expected
    np.testing.assert_allclose(surrogate(v, "all"), u, rtol=1e-5)
    np.testing.assert_allclose(surrogate(v), u.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(surrogate(v, 2), u[2], rtol=1e-5)


def test_any_batch_size_and_a_single_field(surrogate, expected, monkeypatch):
    v, u = expected
    np.testing.assert_allclose(surrogate(v[4]), u.mean(axis=0)[4], rtol=1e-5)
    assert surrogate(v[4], "all").shape == (3, fields.POINTS)
    monkeypatch.setattr("mnn.surrogate.CHUNK", 3)
    np.testing.assert_allclose(surrogate(v, "all"), u, rtol=1e-5)
    assert surrogate(v[:0]).shape == (0, fields.POINTS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_is_kept(surrogate, expected, dtype):
    assert surrogate(expected[0].astype(dtype)).dtype == dtype
    assert surrogate(torch.from_numpy(expected[0].astype(dtype))).numpy().dtype == dtype


def test_labelled_arrays_keep_their_labels(surrogate, expected):
    v, u = expected
    labels = {"day": [10, 11, 12, 13, 14, 15, 16], "x": fields.X}
    field = xr.DataArray(v, dims=("day", "x"), coords=labels, name="velocity", attrs={"units": "m s-1"})
    found = surrogate(field.transpose("x", "day"))
    assert found.name == "density"
    assert found.attrs["units"] == "kg m-3"
    np.testing.assert_allclose(found.sel(day=12), u.mean(axis=0)[2], rtol=1e-5)
    np.testing.assert_allclose(surrogate(field, "all").transpose("member", "day", "x"), u, rtol=1e-5)
    np.testing.assert_allclose(surrogate(field.sel(day=12)), u.mean(axis=0)[2], rtol=1e-5)


def test_the_gradient_with_respect_to_the_input(surrogate, expected):
    v = torch.from_numpy(expected[0][:2].astype(np.float64)).requires_grad_()
    weight = torch.linspace(0, 1, fields.POINTS, dtype=torch.float64)
    (surrogate(v) * weight).sum().backward()
    direction = np.zeros_like(expected[0][:2])
    direction[0, 5], direction[1, 20] = 1, -1
    h = 1e-2
    difference = surrogate(expected[0][:2] + h * direction) - surrogate(expected[0][:2] - h * direction)
    slope = (difference.astype(np.float64) * weight.numpy()).sum() / (2 * h)
    assert (v.grad.numpy() * direction).sum() == pytest.approx(slope, rel=2e-2)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (
            np.zeros((2, 30)),
            r"shape \(2, 30\) given, trained on \(32\) or \(batch, 32\): 32 points, x from 0 to 0.9688",
        ),
        (np.zeros((2, 2, 32)), r"shape \(2, 2, 32\) given"),
        (np.full((1, 32), np.nan), "NaN or infinity"),
        (np.zeros((1, 32), complex), "complex128 given, real numbers"),
        ([1.0] * 32, "list given, a numpy array"),
        (xr.DataArray(np.zeros((1, 32)), dims=("n", "x"), coords={"x": fields.X * 2}), "x from 0 to 1.938"),
        (xr.DataArray(np.zeros((1, 32)), dims=("n", "y")), r"dimensions \('n', 'y'\) given, x expected"),
    ],
)
def test_what_is_not_a_field_on_the_grid_is_refused(surrogate, field, words):
    with pytest.raises(ValueError, match=words) as caught:
        surrogate(field)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("member", [3, -1, "best", 1.0])
def test_an_unknown_member_is_refused(surrogate, expected, member):
    with pytest.raises(ValueError, match=r"member: .* given, 'mean', 'all' or 0 to 2 allowed"):
        surrogate(expected[0], member)


def test_a_file_of_fields(path, surrogate, tmp_path):
    given = fields.shard(tmp_path / "given.nc", 50, 9)
    assert predict.main([str(path), given, "-o", str(tmp_path / "out.nc"), "--chunk", "7"]) == 0
    found = xr.load_dataset(tmp_path / "out.nc")
    np.testing.assert_allclose(found["density"], surrogate(fields.pairs(50, 9)[0]), rtol=1e-6)
    np.testing.assert_array_equal(found["x"], fields.X)
    assert found["density"].attrs["units"] == "kg m-3"


def test_mistakes_with_files_are_one_line(path, tmp_path):
    moved = fields.shard(tmp_path / "moved.nc", 4, 0, x=fields.X + 1)
    truncated = tmp_path / "truncated.nc"
    truncated.write_bytes((tmp_path / "moved.nc").read_bytes()[:5000])
    with netCDF4.Dataset(tmp_path / "empty.nc", "w"):
        pass
    out = tmp_path / "out.nc"
    model = str(path)
    cases = [
        ([model, moved], "trained on 32 points, x from 0"),
        ([model, str(truncated)], "truncated.nc: not a readable netCDF file"),
        ([model, str(tmp_path / "empty.nc")], "no variable 'velocity'"),
        ([model, str(tmp_path / "absent.nc")], "absent.nc: not a readable netCDF file"),
        ([moved, moved], "moved.nc: not a readable safetensors file"),
        ([str(tmp_path / "absent"), moved], "absent: not a readable safetensors file"),
    ]
    for arguments, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            predict.main([*arguments, "-o", str(out)])
        assert "\n" not in str(caught.value)
        assert not out.exists()
