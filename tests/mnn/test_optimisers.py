"""The batched optimisers against the same algorithms written for one matrix at a time."""

import numpy as np
import pytest
import torch

import mnn
from mnn.optimisers import FlatParameters, Nadam, Soap

STEPS = 25
SPECS = {
    "cnn": {"shape": (16,), "levels": 3, "rank": 3, "depth": 2},
    "lc": {"shape": (16,), "levels": 3, "rank": 2, "depth": 1, "layers": "lc", "padding": "zero"},
    "mnn-h": {"shape": (16,), "levels": 3, "rank": 2, "depth": 1, "architecture": "mnn-h"},
}


def network(spec):
    return mnn.network(**SPECS[spec], members=2, seed=4, dtype=torch.float64)


def gradients(parameters, step):
    """A gradient that depends on the weights, so that a wrong step shows in all that follow."""
    generator = torch.Generator().manual_seed(step)
    return {
        name: torch.sin(3 * p.detach()) + torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in parameters.items()
    }


class DenseSoap:
    """SOAP for one weight (boxes, *modes) in numpy; the first moment is kept unrotated, as in the algorithm's paper.

    The eigenvectors of the first gradient's null space are arbitrary: they are taken over and checked.
    """

    def __init__(self, decay=0.95, eps=1e-8, period=10):
        self.decay, self.eps, self.period, self.count = decay, eps, period, 0

    def begin(self, bases):
        self.bases = bases
        for factor, basis in zip(self.factors, bases, strict=True):
            values = basis.T @ factor @ basis
            np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-12)
            np.testing.assert_allclose(values, np.diag(np.diag(values)), atol=1e-12 * np.trace(factor))
            assert (np.diff(np.diag(values)) < 1e-12 * np.trace(factor)).all()

    def step(self, weight, gradient, rate):
        self.count += 1
        b = self.decay
        factors = [unfold(gradient, mode) @ unfold(gradient, mode).T for mode in range(1, gradient.ndim)]
        if self.count == 1:
            self.factors = [(1 - b) * factor for factor in factors]
            self.mean, self.square = np.zeros_like(gradient), np.zeros_like(gradient)
            return weight
        self.factors = [b * old + (1 - b) * new for old, new in zip(self.factors, factors, strict=True)]
        self.mean = b * self.mean + (1 - b) * gradient
        forth = [basis.T for basis in self.bases]
        rotated = multiply(gradient, forth)
        self.square = b * self.square + (1 - b) * rotated**2
        t = self.count - 1
        direction = b * multiply(self.mean, forth) / (1 - b ** (t + 1)) + (1 - b) * rotated / (1 - b**t)
        direction /= np.sqrt(self.square / (1 - b**t)) + self.eps
        weight = weight - rate * multiply(direction, self.bases)
        if self.count % self.period == 0:
            self.turn()
        return weight

    def turn(self):
        for mode in range(len(self.bases)):
            product = self.factors[mode] @ self.bases[mode]
            order = np.argsort(-(self.bases[mode] * product).sum(axis=0))
            self.bases[mode] = np.linalg.qr(product[:, order])[0]
            self.square = np.take(self.square, order, axis=mode + 1)


def unfold(tensor, mode):
    """Mode of a tensor against all its other axes."""
    return np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)


def multiply(tensor, matrices):
    """Multiply the axes behind the first by matrices."""
    for mode, matrix in enumerate(matrices, start=1):
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, mode)), 0, mode)
    return tensor


def in_modes(name, weight, split):
    """One member's weight ([boxes,] taps, out, in) as (boxes, *modes)."""
    weight = weight if weight.ndim == 4 else weight[None]
    if split:
        return weight if name.startswith("interpolation") else weight.transpose(0, 2, 1, 3)
    boxes, taps, outputs, inputs = weight.shape
    if name.startswith("interpolation"):
        return weight.reshape(boxes, taps * outputs, inputs)
    return weight.transpose(0, 2, 1, 3).reshape(boxes, outputs, taps * inputs)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("spec", SPECS)
def test_soap_is_the_dense_algorithm_for_every_weight(spec, split, monkeypatch):
    monkeypatch.setattr("mnn.optimisers.LARGEST_MERGED", 0 if split else 128)
    net = network(spec)
    parameters = dict(net.named_parameters())
    names = [name for name in parameters if name.endswith("weight")]
    tensors = {(n, s): in_modes(n, parameters[n].detach().numpy()[s].copy(), split) for n in names for s in (0, 1)}
    dense = {key: DenseSoap() for key in tensors}
    flat = FlatParameters(net)
    soap = Soap(flat)
    for step in range(STEPS):
        given = gradients(parameters, step)
        for name, p in parameters.items():
            p.grad.copy_(given[name])
        for (name, s), matrix in tensors.items():
            gradient = in_modes(name, given[name].numpy()[s], split)
            tensors[name, s] = dense[name, s].step(matrix, gradient, rate=0.02)
        soap.step(0.02)
        if step == 0:
            for i, rotation in soap.rotations.items():
                for k, name in enumerate(flat.groups[i].names):
                    for s in (0, 1):
                        dense[name, s].begin([basis[2 * k + s].numpy().copy() for basis in rotation.bases])
    for (name, s), matrix in tensors.items():
        found = in_modes(name, parameters[name].detach().numpy()[s], split)
        np.testing.assert_allclose(found, matrix, atol=1e-9, err_msg=f"{name}, member {s}")


@pytest.fixture
def doubles():
    """Doubles by default: torch's NAdam then keeps its product of momenta as one, which is else a float32."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


@pytest.mark.usefixtures("doubles")
def test_soap_leaves_biases_to_nadam():
    net = network("cnn")
    bias = dict(net.named_parameters())["kernel.2.1.bias"]
    twin = torch.nn.Parameter(bias.detach().clone())
    # so fast a decay that the momentum is the same in every step
    nadam = torch.optim.NAdam([twin], lr=0.02, betas=(0.95, 0.95), eps=1e-8, momentum_decay=1e9)
    soap = Soap(FlatParameters(net))
    soap.step(0.02)  # sets the bases only
    for step in range(STEPS):
        bias.grad.copy_(torch.cos(bias.detach() + step))
        twin.grad = torch.cos(twin.detach() + step)
        soap.step(0.02)
        nadam.step()
    torch.testing.assert_close(bias.detach(), twin.detach(), atol=1e-12, rtol=0)


@pytest.mark.usefixtures("doubles")
def test_nadam_is_the_papers_for_every_parameter():
    net, twin = network("cnn"), network("cnn")
    theirs = torch.optim.NAdam(twin.parameters(), lr=1e-3, eps=1e-7, momentum_decay=4e-3)
    ours = Nadam(FlatParameters(net))
    mine, other = dict(net.named_parameters()), dict(twin.named_parameters())
    for step in range(STEPS):
        for name, gradient in gradients(other, step).items():
            mine[name].grad.copy_(gradient)
            other[name].grad = gradient
        ours.step(1e-3)
        theirs.step()
    for name, p in mine.items():
        torch.testing.assert_close(p.detach(), other[name].detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("optimiser", [Nadam, Soap])
def test_state_carries_everything(optimiser):
    nets = [network("cnn") for _ in range(2)]
    first = optimiser(FlatParameters(nets[0]))
    parameters = [dict(net.named_parameters()) for net in nets]

    def advance(which, opt, steps):
        for step in steps:
            for name, gradient in gradients(parameters[which], step).items():
                parameters[which][name].grad.copy_(gradient)
            opt.step(0.01)

    advance(0, first, range(13))
    nets[1].load_state_dict(nets[0].state_dict())
    second = optimiser(FlatParameters(nets[1]))
    second.load({name: tensor.clone() for name, tensor in first.state().items()})
    for which, opt in enumerate((first, second)):
        advance(which, opt, range(13, STEPS))
    for name, p in parameters[0].items():
        assert torch.equal(p, parameters[1][name]), name
