"""The compiled path against plain torch: outputs and every gradient, for every kind of network."""

import logging
from itertools import product

import numpy as np
import pytest
import torch

import mnn
from mnn import compiled
from mnn.compiled.function import plan_of
from mnn.optimisers import FlatParameters

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
GRIDS = {
    "1d": {"shape": (40,), "levels": 3, "rank": 3, "depth": 3},
    "1d wide": {"shape": (24,), "levels": 2, "rank": 9, "depth": 2},
    "1d one channel": {"shape": (16,), "levels": 3, "rank": 1, "depth": 2},
    "2d": {"shape": (24, 24), "levels": 3, "rank": 2, "depth": 2},
    "2d deep": {"shape": (32, 32), "levels": 4, "rank": 7, "depth": 2},
    "3d": {"shape": (8, 8, 8), "levels": 2, "rank": 2, "depth": 2},
}
ONE = GRIDS["1d"]
KINDS = [
    {"architecture": architecture, "layers": layers, "padding": padding}
    for architecture, layers, padding in product(("mnn-h2", "mnn-h"), ("cnn", "lc", "mix"), ("periodic", "zero"))
]


def build(dtype=torch.float64, members=1, **spec):
    """Make a network of random weights and biases, so that about half of all states are rectified away."""
    network = mnn.network(dtype=dtype, members=members, initial="positive", **spec)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise if name.endswith("bias") else 0.1 * parameter.std() * noise)
    return network


def fields(network, batch, *lead, seed=2):
    generator = torch.Generator().manual_seed(seed)
    shape = (*lead, batch, *network.spec.shape)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(network.dtype)


def run(function, network, v, seed=3):
    """Return output, gradient of the input and those of all parameters, for a random gradient of the output."""
    v = v.detach().requires_grad_()
    u = function(v)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(u.shape, generator=generator, dtype=torch.float64).to(u.dtype)
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(u, [v, *parameters], weight)
    return dict(zip(["output", "input", *names], [u.detach(), *gradients], strict=True))


def assert_equal_paths(network, v):
    assert compiled.supports(network, v)
    found, expected = run(network, network, v), run(network.reference, network, v)
    for name, tensor in expected.items():
        scale = tensor.abs().max() if tensor.numel() else 0
        torch.testing.assert_close(
            found[name], tensor, rtol=0, atol=float(TOLERANCE[v.dtype] * scale), msg=lambda text, name=name: name + text
        )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_paths_are_equal(grid, kind):
    network = build(**grid, **kind)
    assert_equal_paths(network, fields(network, 5))


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "identity", "bias": False},
        {"bias": False, "layers": "lc"},
        {"transfer": "nonlinear"},
        {"kernel": "residual"},
        {"kernel": "parallel", "transfer": "nonlinear", "layers": "mix"},
        {"kernel": "parallel", "architecture": "mnn-h"},
    ],
    ids=str,
)
def test_options(options):
    network = build(**ONE, **options)
    assert_equal_paths(network, fields(network, 5))


@pytest.mark.parametrize("batch", [0, 1, 7, 64, 100])
@pytest.mark.parametrize("layers", ["cnn", "lc"])
def test_batches_of_any_size(batch, layers):
    network = build(**ONE, layers=layers)
    assert_equal_paths(network, fields(network, batch))


def test_tiles_of_several_blocks_in_two_dimensions():
    network = build(**GRIDS["2d"])
    assert_equal_paths(network, fields(network, 40))


@pytest.mark.parametrize("lead", [(), (3,)], ids=["the same fields", "fields of their own"])
@pytest.mark.parametrize("layers", ["cnn", "lc"])
def test_members(lead, layers):
    network = build(**ONE, members=3, layers=layers)
    assert_equal_paths(network, fields(network, 20, *lead))


def test_one_member_with_fields_of_its_own():
    network = build(**ONE)
    assert_equal_paths(network, fields(network, 4, 1))


@pytest.mark.parametrize("layers", ["cnn", "lc"])
def test_single_precision(layers):
    """With ReLU outputs only: rounding moves a state that is nearly 0 across it, and a gradient jumps there."""
    spec = {"dtype": torch.float32, "shape": (320,), "levels": 6, "rank": 6, "depth": 5, "layers": layers}
    network = build(**spec, activation="identity")
    assert_equal_paths(network, fields(network, 100))
    network = build(**spec)
    v = fields(network, 100)
    expected = network.reference(v)
    atol = TOLERANCE[torch.float32] * expected.abs().max().item()
    torch.testing.assert_close(network(v), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("padding", ["periodic", "zero"])
def test_single_precision_in_two_dimensions(padding):
    """Sums of boxes and taps round no worse than the products they save."""
    network = build(shape=(80, 80), levels=4, rank=6, depth=5, padding=padding, dtype=torch.float32)
    exact = build(shape=(80, 80), levels=4, rank=6, depth=5, padding=padding)
    v = fields(network, 60)
    with torch.no_grad():
        true = exact.reference(v.double())
        mine, plain = (function(v).double() - true for function in (network, network.reference))
    assert mine.square().mean() < 2 * plain.square().mean()


def test_kernel_layers_of_two_dimensions_are_filtered():
    for dimension, layers, filtered in ((1, "cnn", 0), (2, "cnn", 3), (2, "lc", 0), (3, "cnn", 0)):
        plan = plan_of(build(shape=(16,) * dimension, levels=3, rank=2, depth=2, layers=layers))
        assert np.count_nonzero(plan.filters["matrices"]) == 2 * filtered


def test_derivatives_are_those_of_the_function():
    network = build(shape=(16,), levels=2, rank=2, depth=2)
    parameters = dict(network.named_parameters())
    picked = [parameters[name] for name in ("kernel.2.1.weight", "restriction.2.bias", "adjacent.1.weight")]

    def function(v, *_):
        return network(v)

    assert torch.autograd.gradcheck(function, (fields(network, 2).requires_grad_(), *picked))


def test_strided_input():
    network = build(**ONE)
    v = fields(network, 12)
    strided = torch.stack([v, v + 1], dim=2)[:, :, 0]
    transposed = v.T.contiguous().T
    assert not strided.is_contiguous()
    assert not transposed.is_contiguous()
    assert torch.equal(network(strided), network(v))
    assert torch.equal(network(transposed), network(v))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def assert_same_bits(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("layers", ["cnn", "lc"])
def test_number_of_threads_changes_no_bit(layers, members, threads):
    network = build(dtype=torch.float32, **ONE, layers=layers, members=members)
    v, results = fields(network, 150), []
    for number in (1, 2, 5):
        threads(number)
        results.append(run(network, network, v))
        with torch.no_grad():
            assert torch.equal(network(v), results[0]["output"])
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


def test_members_do_not_know_of_each_other():
    spec = {**ONE, "initial": "positive", "dtype": torch.float32}
    together = mnn.network(**spec, members=3, seed=[4, 5, 6])
    alone = mnn.network(**spec, seed=5)
    v, step = fields(alone, 40), 1e-3
    for network in (together, alone):
        network(v).square().mean((-2, -1)).sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= step * parameter.grad
    for mine, theirs in zip(alone.parameters(), together.parameters(), strict=True):
        assert torch.equal(mine.grad[0], theirs.grad[1])
    assert torch.equal(together(v)[1], alone(v))


def test_samples_do_not_know_of_each_other():
    network = build(**ONE)
    v = fields(network, 100)
    u = network(v)
    assert torch.equal(network(v[60:71]), u[60:71])
    v[3, 7] = torch.nan
    with_nan = network(v)
    assert with_nan[3].isnan().any()
    assert torch.equal(torch.cat([with_nan[:3], with_nan[4:]]), torch.cat([u[:3], u[4:]]))


def test_nan_is_not_hidden_by_activations():
    network = build(**ONE)
    v = fields(network, 3)
    v[1, 5] = torch.nan
    found, expected = run(network, network, v), run(network.reference, network, v)
    for name in expected:
        assert torch.equal(found[name].isnan(), expected[name].isnan()), name


def test_gradients_in_one_buffer():
    network, twin = build(**ONE), build(**ONE)
    flat = FlatParameters(network)
    compiled.bind(network, flat.weights, flat.gradients)
    v = fields(network, 9)
    for each in (network, twin):
        for _ in range(2):
            each(v).square().sum().backward()
    own, expected = dict(network.named_parameters()), dict(twin.named_parameters())
    buffered = flat.named(flat.gradients)
    for name in expected:
        assert torch.equal(own[name].grad, expected[name].grad)
        assert torch.equal(buffered[name], expected[name].grad)


def test_replaced_parameters_are_noticed():
    network = build(**ONE)
    u = network(fields(network, 2))
    network.adjacent["1"].weight.data = network.adjacent["1"].weight.data.clone()
    with pytest.raises(RuntimeError, match="parameters were replaced"):
        u.sum().backward()


def test_changed_parameters_are_noticed():
    network = build(**ONE)
    u = network(fields(network, 2))
    with torch.no_grad():
        network.adjacent["1"].weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        u.sum().backward()


def test_second_derivatives_are_refused():
    network = build(**ONE)
    v = fields(network, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(network(v).square().sum(), v, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_what_is_not_covered_goes_the_plain_way(caplog):
    network = build(**ONE)
    usual = network.core
    network.core = lambda x: torch.tanh(usual(x))
    v = fields(network, 2)
    with caplog.at_level(logging.WARNING):
        assert not compiled.supports(network, v)
    assert "tanh" in caplog.text
    assert torch.equal(network(v), network.reference(v))
    assert not compiled.supports(build(**ONE), v.to("meta"))


def test_bad_input_is_named():
    network = build(**ONE)
    with pytest.raises(ValueError, match=r"v: shape \(2, 41\) given"):
        network(torch.zeros(2, 41, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"v: dtype torch.float32 given, torch.float64 expected"):
        network(torch.zeros(2, 40))
