"""The best linear map in closed form, and networks trained on what it leaves over."""

import fields
import numpy as np
import pytest
import torch

import mnn
from mnn import evaluate, linear, normalise, train


def waves(count, seed, shape=(12,)):
    return np.random.default_rng(seed).normal(size=(count, *shape))


@pytest.mark.parametrize("shape", [(12,), (6, 5)])
def test_the_invariant_map_is_found_where_the_data_are_one(shape):
    v = waves(50, 0, shape)
    u = 3 + 2 * v + np.roll(v, 1, axis=1) - 0.5 * np.roll(v, -2, axis=-1)
    found = linear.fit_invariant(v, u)
    w = waves(5, 1, shape)
    expected = 3 + 2 * w + np.roll(w, 1, axis=1) - 0.5 * np.roll(w, -2, axis=-1)
    np.testing.assert_allclose(found(w), expected, atol=1e-9)


def test_the_invariant_map_is_the_least_squares_circulant():
    v, u = waves(30, 0), waves(30, 1)
    rolls = np.stack([np.roll(v - v.mean(), k, axis=1) for k in range(12)], axis=-1).reshape(-1, 12)
    taps = np.linalg.lstsq(rolls, (u - u.mean()).ravel())[0]
    w = waves(4, 2)
    expected = u.mean() + sum(tap * np.roll(w - v.mean(), k, axis=1) for k, tap in enumerate(taps))
    np.testing.assert_allclose(linear.fit_invariant(v, u)(w), expected, atol=1e-9)


@pytest.mark.parametrize("count", [8, 40])
def test_ridge_solves_its_normal_equations_through_either_gram_matrix(count):
    v, u = waves(count, 0), waves(count, 1)
    scale = np.trace(v.T @ v) / min(count, 12)
    for regularisation, matrix in zip(linear.REGULARISATIONS, linear.ridge_matrices(v, u), strict=True):
        left = v.T @ v @ matrix + regularisation * scale * matrix
        np.testing.assert_allclose(left, v.T @ u, atol=1e-6 * np.abs(v.T @ u).max())


def test_ridge_finds_a_map_that_is_not_invariant():
    matrix = waves(12, 5)
    v, w = waves(100, 0), waves(30, 1)
    found = linear.fit_ridge((v, 1 + v @ matrix), (w, 1 + w @ matrix))
    np.testing.assert_allclose(found(w), 1 + w @ matrix, atol=1e-6)


def test_low_rank_leaves_out_no_more_than_it_may():
    v, matrix = waves(60, 0), waves(12, 5) * 10.0 ** -np.arange(12)
    encode, decode = linear.low_rank(matrix, v, 1e-6)
    rest = np.square(v @ (matrix - encode @ decode)).sum(axis=1).mean()
    assert rest <= 1e-6
    assert encode.shape[1] < 12
    assert linear.low_rank(matrix, v, 1e-2)[0].shape[1] < encode.shape[1]


def test_modes_that_the_input_does_not_have_do_not_count():
    """Fields of waves 1 to 3 in float32: dividing by the rounding in the other modes would make a kernel of noise."""
    fitted = linear.fit_invariant(*fields.pairs(200, 0))
    assert np.abs(fitted.kernel).max() < 1


@pytest.mark.parametrize("invariant", [True, False])
def test_target_and_prediction_are_inverse_and_the_start_is_the_linear_map(invariant):
    pairs = fields.pairs(200, 0), fields.pairs(50, 1)
    made = normalise.fit_rest(*pairs, "standard", invariant)
    v, u = (torch.from_numpy(field) for field in fields.pairs(5, 2))
    torch.testing.assert_close(made.prediction(v, made.target(v, u)), u, atol=1e-5, rtol=0)
    start = linear.fit(*pairs, invariant)(v.numpy().astype(np.float64))
    found = made.prediction(v, torch.zeros_like(u)) - made.output.shift
    np.testing.assert_allclose(found, start, atol=1e-5)
    again = normalise.Normalisation.from_tensors(made.tensors())
    assert torch.equal(again.target(v, u), made.target(v, u))


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, shards):
    folder = tmp_path_factory.mktemp("linear")
    made = ["--network", '{"levels": 3, "rank": 2, "depth": 2}', "--threads", "1", "--device", "cpu"]
    made += ["--training", '{"epochs": 30, "batch_size": 8, "members": 2, "overrides": {"linear": true}}']
    for option, name in (("model", "m.safetensors"), ("history", "h.csv"), ("checkpoint", "c.safetensors")):
        made += [f"--{option}", str(folder / name)]
    assert train.main([*made, "--train", shards.train, "--validation", shards.validation]) == 0
    return made


@pytest.fixture(scope="module")
def model(arguments):
    return arguments[arguments.index("--model") + 1]


def test_what_is_trained_on_the_rest_beats_the_linear_map(model, shards, tmp_path):
    import netCDF4

    written = str(tmp_path / "errors.nc")
    assert evaluate.main([model, "--train", shards.train, "--test", shards.test, "--output", written]) == 0
    v, u = fields.pairs(24, 2)
    best = linear.fit_invariant(*fields.pairs(64, 0))(v.astype(np.float64))
    size = np.linalg.norm(u, axis=1)
    least = np.mean(np.linalg.norm(best - u, axis=1) / size)
    predicted = mnn.load(model)(v, member="all")
    with netCDF4.Dataset(written) as errors:
        np.testing.assert_allclose(
            errors["test_error"], np.linalg.norm(predicted - u, axis=2) / size, rtol=1e-3, atol=1e-6
        )
        assert errors["test_error_mean"][:].max() < 0.8 * least
        parameters = mnn.count_parameters(mnn.load(model).network)
        assert errors.parameters == parameters + fields.POINTS + 2


def test_the_gradient_passes_through_the_linear_part(model):
    surrogate = mnn.load(model)
    v = torch.from_numpy(fields.pairs(1, 4)[0]).double().requires_grad_()
    surrogate(v).sum().backward()
    direction = torch.from_numpy(np.random.default_rng(0).normal(size=v.shape))
    surrogate.network.double()  # a step small enough to meet no kink of a ReLU
    with torch.no_grad():
        ahead, behind = (surrogate.apply(surrogate.network, v + h * direction, "mean").sum() for h in (1e-5, -1e-5))
    assert (v.grad * direction).sum().item() == pytest.approx((ahead - behind).item() / 2e-5, rel=1e-4)


def test_a_map_that_is_linear_leaves_nothing_to_learn(arguments, tmp_path, capsys):
    v, _ = fields.pairs(64, 0)
    path = fields.shard(tmp_path / "linear.nc", 64, 0, pair=(v, 1 + 2 * np.roll(v, 3, axis=1)))
    with pytest.raises(ValueError, match=r"overrides.linear: true given, but the map is linear to rounding"):
        train.main([*arguments, "--train", path, "--validation", path])
