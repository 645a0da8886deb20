"""Networks against Algorithm 4 written a second time, and the properties the paper claims."""

import math

import numpy as np
import pytest
import torch

import mnn
from mnn.layers import GatherLayer
from mnn.spec import NetworkSpec
from tests.mnn.plain import PlainNetwork

EXACT = 1e-13
ONE = {"shape": (48,), "levels": 4, "rank": 3, "depth": 3}
TWO = {"shape": (16, 16), "levels": 3, "rank": 2, "depth": 2}
THREE = {"shape": (8, 8, 8), "levels": 2, "rank": 2, "depth": 2}
GRIDS = {"1d": ONE, "2d": TWO, "3d": THREE}
DOUBLE = {"dtype": torch.float64, "initial": "positive"}


def build(seed=0, **options):
    """Make a network in float64 with random biases too, so that none of them can be overlooked."""
    net = mnn.network(**{**DOUBLE, **options}, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return net


def fields(spec, batch=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *spec["shape"], generator=generator, dtype=torch.float64)


def assert_same_as_plain(net, v):
    plain = PlainNetwork(net.spec, net.state_dict())
    expected = np.stack([plain(sample) for sample in v.numpy()])
    for apply in (net, net.reference):
        u = apply(v).detach().numpy()
        np.testing.assert_allclose(u, expected, rtol=EXACT, atol=EXACT * np.abs(expected).max())


@pytest.mark.parametrize("padding", ["periodic", "zero"])
@pytest.mark.parametrize("layers", ["cnn", "lc", "mix"])
@pytest.mark.parametrize("architecture", ["mnn-h2", "mnn-h"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_network_is_algorithm_4(grid, architecture, layers, padding):
    net = build(**grid, architecture=architecture, layers=layers, padding=padding)
    assert_same_as_plain(net, fields(grid))


OPTIONS = {
    "linear": {"activation": "identity", "bias": False},
    "nonlinear transfer": {"transfer": "nonlinear"},
    "deep transfer": {"transfer": "nonlinear", "transfer_depth": 3},
    "residual": {"kernel": "residual"},
    "parallel": {"kernel": "parallel", "layers": "lc"},
    "parallel mnn-h": {"kernel": "parallel", "architecture": "mnn-h"},
    "all": {"kernel": "parallel", "transfer": "nonlinear", "transfer_depth": 2, "layers": "mix", "padding": "zero"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("grid", [ONE, TWO], ids=["1d", "2d"])
def test_options_are_those_of_the_paper(grid, options):
    assert_same_as_plain(build(**grid, **options), fields(grid))


def test_paper_size_in_single_precision():
    spec = {"shape": (320,), "levels": 6, "rank": 6, "depth": 5, "initial": "positive"}
    double, single = mnn.network(**spec, dtype=torch.float64), mnn.network(**spec)
    v = fields(spec)
    expected = double(v)
    torch.testing.assert_close(single(v.float()).double(), expected, rtol=0, atol=2e-6 * expected.abs().max().item())


SHAPES = [
    ({**ONE, "layers": "cnn"}, "kernel.3.1", (1, 7, 3, 3), (1, 3)),
    ({**ONE, "layers": "lc"}, "kernel.3.3", (1, 8, 7, 3, 3), (1, 8, 3)),
    ({**ONE, "layers": "mix"}, "adjacent.3", (1, 16, 3, 3, 3), (1, 16, 3)),
    ({**ONE, "layers": "mix"}, "adjacent.2", (1, 3, 3, 3), (1, 3)),
    ({**ONE, "layers": "mix"}, "restriction.4", (1, 16, 3, 3, 1), (1, 16, 3)),
    ({**ONE, "layers": "mix"}, "interpolation.2", (1, 4, 2, 3, 3), (1, 4, 2, 3)),
    ({**TWO, "layers": "mix"}, "adjacent.2", (1, 9, 4, 4), (1, 4)),
    ({**TWO, "layers": "mix"}, "interpolation.3", (1, 64, 4, 1, 2), (1, 64, 4, 1)),
    ({**TWO, "architecture": "mnn-h"}, "restriction.2", (1, 16, 2, 1), (1, 2)),
    ({**TWO, "architecture": "mnn-h", "layers": "lc"}, "interpolation.2", (1, 16, 16, 1, 2), (1, 16, 16, 1)),
    ({**THREE, "members": 2}, "kernel.2.1", (2, 125, 2, 2), (2, 2)),
]


@pytest.mark.parametrize(("options", "name", "weight", "bias"), SHAPES)
def test_names_and_shapes_of_the_state(options, name, weight, bias):
    state = mnn.network(**options).state_dict()
    assert tuple(state[f"{name}.weight"].shape) == weight
    assert tuple(state[f"{name}.bias"].shape) == bias


def test_state_holds_the_layers_of_algorithm_4_and_nothing_else():
    layers = [f"adjacent.{k}" for k in (1, 2)]
    layers += [f"restriction.{level}" for level in (2, 3)]
    layers += [f"kernel.{level}.{k}" for level in (2, 3) for k in (1, 2)]
    layers += [f"interpolation.{level}" for level in (2, 3)]
    assert set(mnn.network(**TWO).state_dict()) == {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    assert set(mnn.network(**TWO, bias=False).state_dict()) == {f"{name}.weight" for name in layers}


SMALL = {
    "1d": {"shape": (8,), "levels": 3, "rank": 1, "depth": 2},
    "2d": {"shape": (4, 4), "levels": 2, "rank": 1, "depth": 2},
    "3d": {"shape": (4, 4, 4), "levels": 2, "rank": 1, "depth": 1},
}


@pytest.mark.parametrize("layers", ["cnn", "lc", "mix"])
@pytest.mark.parametrize("architecture", ["mnn-h2", "mnn-h"])
@pytest.mark.parametrize("grid", SMALL.values(), ids=SMALL.keys())
def test_gradients_by_finite_differences(grid, architecture, layers):
    net = build(**grid, architecture=architecture, layers=layers, padding="zero")
    names = list(dict(net.named_parameters()))

    def function(v, *parameters):
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (v,))

    inputs = (fields(grid, batch=1).requires_grad_(), *net.parameters())
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def weights_over_padding(net):
    """Count the weights of locally connected layers whose input is always zero."""
    layers = [layer for layer in net.modules() if isinstance(layer, GatherLayer) and layer.local]
    return sum(int((layer.table == layer.sources).sum()) * layer.inputs * layer.outputs for layer in layers)


GRADIENT_CASES = {
    "lc 1d": ({"shape": (320,), "levels": 6, "rank": 6, "depth": 5, "layers": "lc", "padding": "zero"}, 9970),
    "lc 1d periodic": ({**ONE, "layers": "lc"}, 0),
    "mix 1d": ({**ONE, "layers": "mix", "padding": "zero"}, 18),
    "lc 2d": ({**TWO, "layers": "lc", "padding": "zero"}, None),
    "cnn 2d": ({**TWO, "padding": "zero"}, 0),
    "h lc 1d": ({**ONE, "layers": "lc", "padding": "zero", "architecture": "mnn-h"}, None),
    "h cnn 3d": ({**THREE, "architecture": "mnn-h"}, 0),
}


@pytest.mark.parametrize(("spec", "known"), GRADIENT_CASES.values(), ids=GRADIENT_CASES.keys())
def test_every_weight_that_sees_data_has_a_gradient(spec, known):
    """With phi linear no unit is off: zeros stand exactly under the padding, 9970 of 198384 in the first case."""
    net = build(**spec, activation="identity")
    net(fields(spec)).square().mean().backward()
    unseen = sum(int((parameter.grad == 0).sum()) for parameter in net.parameters())
    assert unseen == weights_over_padding(net)
    assert known is None or unseen == known


def test_unseen_weights_in_two_dimensions_by_hand():
    """n boxes an axis, window w = 2b + 1: n² w² pairs, of which (n w - b (b + 1))² stay on the grid."""
    pairs = {(level, b): 4**level * (2 * b + 1) ** 2 - (2**level * (2 * b + 1) - b * (b + 1)) ** 2
             for level, b in ((3, 1), (2, 2), (3, 3))}  # fmt: skip
    adjacent, kernel = 2 * pairs[3, 1] * 4 * 4, 2 * (pairs[2, 2] + pairs[3, 3]) * 2 * 2
    assert weights_over_padding(mnn.network(**TWO, layers="lc", padding="zero")) == adjacent + kernel


@pytest.mark.parametrize("architecture", ["mnn-h2", "mnn-h"])
@pytest.mark.parametrize("grid", [ONE, TWO], ids=["1d", "2d"])
def test_translation(grid, architecture):
    """A periodic CNN network commutes with translations by a box of level 2, N/4 points an axis, and no smaller one.

    Such a translation carries every box of every level onto a box of that level, and shared weights do not tell boxes
    apart. A smaller one, even by a box of level 3, cuts through the boxes of level 2: points that shared a restriction
    and an interpolation no longer do. The symmetry of the far field is that of its coarsest boxes, so that (3.2) of
    the paper holds for these translations only. The adjacent part alone commutes with those by a box of level L.
    """
    net = build(**grid, architecture=architecture)
    v, axes, n = fields(grid), tuple(range(1, 1 + len(grid["shape"]))), grid["shape"][0]

    def defect(function, step):
        there = function(torch.roll(v, [step] * len(axes), axes))
        back = torch.roll(function(v), [step] * len(axes), axes)
        return ((there - back).norm() / back.norm()).item()

    assert defect(net, n // 4) < EXACT
    assert defect(net, n // 8) > 1e-3
    assert defect(net, 1) > 1e-3
    net.far_field = torch.zeros_like
    assert defect(net.reference, n // 2 ** grid["levels"]) < EXACT
    assert defect(net.reference, 1) > 1e-3


def test_zero_padding_is_not_periodic():
    net = build(**ONE, padding="zero")
    v = fields(ONE)
    assert not torch.allclose(net(torch.roll(v, 12, 1)), torch.roll(net(v), 12, 1), rtol=1e-2)


@pytest.mark.parametrize("initial", ["paper", "positive"])
@pytest.mark.parametrize("layers", ["cnn", "lc"])
def test_members_are_the_networks_of_their_seeds(initial, layers):
    options = {**ONE, "layers": layers, "initial": initial, "dtype": torch.float64}
    together, v = mnn.network(**options, members=3, seed=7), fields(ONE)
    own = torch.stack([v, v + 1, 2 * v])
    for member in range(3):
        alone = mnn.network(**options, seed=7 + member)
        for name, tensor in alone.state_dict().items():
            assert torch.equal(tensor[0], together.state_dict()[name][member])
        torch.testing.assert_close(together(v)[member], alone(v), rtol=0, atol=EXACT)
        torch.testing.assert_close(together(own)[member], alone(own[member]), rtol=0, atol=EXACT)
    listed = mnn.network(**options, members=2, seed=[9, 7])
    assert torch.equal(listed.state_dict()["kernel.2.1.weight"][1], together.state_dict()["kernel.2.1.weight"][0])


def test_single_precision_starts_from_the_rounded_state():
    single, double = mnn.network(**ONE, seed=3), mnn.network(**ONE, seed=3, dtype=torch.float64)
    for name, tensor in double.state_dict().items():
        assert torch.equal(tensor.float(), single.state_dict()[name])


def test_initial_state_of_the_paper():
    state = mnn.network(shape=(320,), levels=6, rank=6, depth=5, layers="lc", dtype=torch.float64).state_dict()
    weights = torch.cat([tensor.flatten() for name, tensor in state.items() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(0.05, rel=5 / math.sqrt(2 * len(weights)))
    assert abs(weights.mean().item()) < 5 * 0.05 / math.sqrt(len(weights))
    assert all((tensor == 0).all() for name, tensor in state.items() if name.endswith("bias"))


def wells(batch=16, points=320):
    """Make fields of two periodic Gaussian wells each, divided by their mean, as the inputs of section 4.1 are."""
    centre = torch.rand(batch, 2, 1, generator=torch.Generator().manual_seed(2))
    distance = (torch.arange(points) / points - centre + 0.5) % 1 - 0.5
    v = torch.exp(-(distance**2) / 0.006).sum(dim=1)
    return v / v.mean()


def passed_on(initial, rank, members=100):
    """Return the variation over inputs that the kernel layers pass on, over theirs: (levels, members)."""
    net = mnn.network(shape=(320,), levels=6, rank=rank, depth=5, initial=initial, members=members)
    gains, zeta = [], net._reshape_t(wells())
    for level in range(6, 1, -1):
        zeta = net.restriction[str(level)](zeta)
        before, after = (x.var(dim=-1).mean(dim=(1, 2)).sqrt() for x in (zeta, net.kernel_part(level, zeta)))
        gains.append(after / before)
    return torch.stack(gains)


@pytest.mark.parametrize("rank", [2, 3, 6])
def test_positive_start_leaves_no_level_dead(rank):
    gains = passed_on("positive", rank)
    assert gains.min() > 1e-4
    assert gains.median() > 1e-2


def test_the_papers_start_leaves_next_to_nothing_of_two_channels():
    gains = passed_on("paper", 2)
    assert (gains == 0).any()
    assert (gains < 1e-4).float().mean() > 0.9


@pytest.mark.parametrize(("layers", "rank", "depth"), [("cnn", 2, 5), ("cnn", 6, 12), ("lc", 6, 5), ("mix", 10, 7)])
def test_positive_start_neither_explodes_nor_vanishes(layers, rank, depth):
    """On normalised input the output starts at a fraction of one, whatever the layers, the rank and the depth."""
    net = mnn.network(shape=(320,), levels=6, rank=rank, depth=depth, layers=layers, initial="positive", members=10)
    v = wells()
    scale = net((v - v.mean()) / v.std()).square().mean(dim=(1, 2)).sqrt()
    assert scale.min() > 0.05
    assert scale.max() < 1


BAD = [
    ({"shape": (300,)}, "shape"),
    ({"shape": (64, 32)}, "shape"),
    ({"shape": 64}, "shape"),
    ({"shape": (64.0,)}, "shape"),
    ({"levels": 1}, "levels"),
    ({"levels": 2.0}, "levels"),
    ({"rank": 0}, "rank"),
    ({"depth": True}, "depth"),
    ({"architecture": "mnn"}, "architecture"),
    ({"layers": "fc"}, "layers"),
    ({"padding": "reflect"}, "padding"),
    ({"activation": "tanh"}, "activation"),
    ({"kernel": "resnet"}, "kernel"),
    ({"architecture": "mnn-h", "transfer": "nonlinear"}, "transfer"),
    ({"architecture": "mnn-h", "transfer_depth": 2}, "transfer_depth"),
    ({"channels": 6}, "channels"),
    ({"members": 0}, "members"),
    ({"members": 2, "seed": [1]}, "seed"),
    ({"initial": "zeros"}, "initial"),
]


@pytest.mark.parametrize(("change", "key"), BAD)
def test_bad_specification_is_one_line_that_names_the_key(change, key):
    with pytest.raises(ValueError, match=f"^{key}: ") as error:
        mnn.network(**{**ONE, **change})
    assert "\n" not in str(error.value)


def test_missing_key_is_named():
    with pytest.raises(ValueError, match=r"^rank: missing"):
        mnn.network(shape=(48,), levels=4, depth=3)


@pytest.mark.parametrize(
    ("v", "words"),
    [
        (torch.zeros(2, 47, dtype=torch.float64), r"v: shape \(2, 47\) given, \(batch, 48\)"),
        (torch.zeros(48, dtype=torch.float64), r"v: shape \(48,\) given"),
        (torch.zeros(3, 2, 48, dtype=torch.float64), r"v: shape \(3, 2, 48\) given"),
        (torch.zeros(2, 48), "v: dtype torch.float32 given, torch.float64 expected"),
    ],
)
def test_bad_input_is_one_line_that_names_it(v, words):
    with pytest.raises(ValueError, match=words):
        mnn.network(**ONE, dtype=torch.float64, members=2)(v)


def test_specification_survives_json():
    spec = NetworkSpec(**TWO, layers="mix", padding="zero", kernel="parallel", bias=False)
    assert NetworkSpec.from_json(spec.to_json()) == spec
    assert mnn.network(**spec.to_dict()).spec == spec


def test_empty_batch():
    assert mnn.network(**TWO)(torch.zeros(0, 16, 16)).shape == (0, 16, 16)
