"""Every layer against a dense matrix built here from coordinates, with no table."""

import itertools

import numpy as np
import pytest
import torch

from mnn.boxes import children_table, neighbour_table
from mnn.layers import GatherLayer, InterpolationLayer

IN, OUT, BATCH = 2, 3, 4
EXACT = 1e-13


def grid(side, dimension):
    """List the coordinates of a grid in row-major order."""
    return list(itertools.product(range(side), repeat=dimension))


def randomised(layer, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer


def block(layer, box, tap):
    """Return the small matrix of a box and a tap, whether it is the box's own or shared."""
    weight = layer.weight[0].detach().numpy()
    return weight[box, tap] if layer.local else weight[tap]


def bias(layer, box):
    values = layer.bias[0].detach().numpy()
    return values[box] if layer.local else values


def apply(layer, matrix, constant):
    """Compare the layer with ``matrix @ x + constant`` on random input."""
    columns = matrix.shape[1]
    x = np.random.default_rng(1).standard_normal((columns, BATCH))
    y = layer(torch.from_numpy(x.reshape(1, columns // layer.inputs, layer.inputs, BATCH)))
    expected = matrix @ x + constant[:, None]
    if layer.activation == "relu":
        expected = np.maximum(expected, 0)
    np.testing.assert_allclose(y.detach().numpy().reshape(-1, BATCH), expected, atol=EXACT)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("level", "dimension", "width"), [(2, 1, 2), (3, 1, 3), (2, 2, 2), (2, 2, 1), (2, 3, 1)])
def test_kernel_layer_is_a_block_band_matrix(level, dimension, width, periodic, local):
    side = 2**level
    table = neighbour_table(level, dimension, width, periodic)
    options = {"inputs": IN, "outputs": OUT, "local": local, "activation": "relu", "dtype": torch.float64}
    layer = randomised(GatherLayer(table, side**dimension, **options))
    boxes, offsets = grid(side, dimension), grid(2 * width + 1, dimension)
    matrix, constant = np.zeros((len(boxes) * OUT, len(boxes) * IN)), np.zeros(len(boxes) * OUT)
    for i, row in enumerate(boxes):
        constant[i * OUT : (i + 1) * OUT] = bias(layer, i)
        for t, offset in enumerate(offsets):
            column = [b + o - width for b, o in zip(row, offset, strict=True)]
            if periodic or all(0 <= c < side for c in column):
                j = boxes.index(tuple(c % side for c in column))
                matrix[i * OUT : (i + 1) * OUT, j * IN : (j + 1) * IN] += block(layer, i, t)
    apply(layer, matrix, constant)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(("level", "dimension"), [(2, 1), (2, 2), (1, 3)])
def test_restriction_and_interpolation_are_block_diagonal(level, dimension, local):
    children = grid(2 ** (level + 1), dimension)
    table, options = children_table(level, dimension), {"local": local, "dtype": torch.float64}
    down = randomised(GatherLayer(table, table.size, inputs=IN, outputs=OUT, **options))
    up = randomised(InterpolationLayer(table, inputs=IN, outputs=OUT, **options))
    parents, corners = grid(2**level, dimension), grid(2, dimension)
    restriction = np.zeros((len(parents) * OUT, len(children) * IN))
    interpolation, constant = np.zeros((len(children) * OUT, len(parents) * IN)), np.zeros(len(children) * OUT)
    for j, child in enumerate(children):
        i, t = parents.index(tuple(c // 2 for c in child)), corners.index(tuple(c % 2 for c in child))
        restriction[i * OUT : (i + 1) * OUT, j * IN : (j + 1) * IN] = block(down, i, t)
        interpolation[j * OUT : (j + 1) * OUT, i * IN : (i + 1) * IN] = block(up, i, t)
        constant[j * OUT : (j + 1) * OUT] = bias(up, i)[t]
    apply(down, restriction, np.concatenate([bias(down, i) for i in range(len(parents))]))
    apply(up, interpolation, constant)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("kind", [GatherLayer, InterpolationLayer])
def test_gradients_by_finite_differences(kind, local):
    table = children_table(1, 2)
    sources = {"sources": table.size} if kind is GatherLayer else {}
    layer = kind(table, **sources, inputs=IN, outputs=OUT, local=local, members=2, dtype=torch.float64)
    layer = randomised(layer)
    entries = table.size if kind is GatherLayer else len(table)
    x = torch.randn(2, entries, IN, BATCH, dtype=torch.float64, requires_grad=True)

    def function(x, *parameters):
        names = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(layer, names, (x,))

    assert torch.autograd.gradcheck(function, (x, *layer.parameters()))


def test_members_do_not_mix():
    table = neighbour_table(2, 1, 1, periodic=True)
    layer = randomised(GatherLayer(table, 4, inputs=IN, outputs=OUT, members=3, dtype=torch.float64))
    x = torch.randn(1, 4, IN, BATCH, dtype=torch.float64)
    alone = GatherLayer(table, 4, inputs=IN, outputs=OUT, dtype=torch.float64)
    for member in range(3):
        alone.weight.data, alone.bias.data = layer.weight.data[member, None], layer.bias.data[member, None]
        torch.testing.assert_close(layer(x)[member], alone(x)[0], rtol=0, atol=EXACT)
