"""Optimisers over one flat buffer of parameters: a few large operations a step instead of hundreds of small ones."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LARGEST_FACTOR = 512
"""Sides of a weight matrix beyond this are left unrotated by SOAP."""


@dataclass(frozen=True)
class Group:
    """Parameters of one kind and shape: their names, and views of weights and gradients, (count, *shape)."""

    names: tuple[str, ...]
    interpolation: bool
    weights: Tensor
    gradients: Tensor
    span: slice


class FlatParameters:
    """All parameters of a network in one contiguous buffer, equally shaped ones side by side.

    The network's own parameters become views of the buffer and their gradients views of a second one, so that an
    optimiser may work on either picture. Parameters of one shape form a :class:`Group`, whose leading axis counts
    them: every kernel layer of every level is then one batched matrix operation.

    Parameters
    ----------
    network : torch.nn.Module
        Parameters named as in Algorithm 4; the leading axis of each is that of the members.
    """

    def __init__(self, network: nn.Module):
        parameters = dict(network.named_parameters())
        self.members = next(iter(parameters.values())).shape[0]
        kinds = defaultdict(list)
        for name, parameter in parameters.items():
            kinds[name.startswith("interpolation"), tuple(parameter.shape)].append(name)
        example = next(iter(parameters.values()))
        total = sum(parameter.numel() for parameter in parameters.values())
        self.weights = torch.empty(total, dtype=example.dtype, device=example.device)
        self.gradients = torch.zeros_like(self.weights)
        self.groups = []
        start = 0
        for (interpolation, shape), names in kinds.items():
            span = slice(start, start + len(names) * parameters[names[0]].numel())
            start = span.stop
            views = (buffer[span].view(len(names), *shape) for buffer in (self.weights, self.gradients))
            group = Group(tuple(names), interpolation, *views, span)
            for i, name in enumerate(names):
                group.weights[i].copy_(parameters[name].detach())
                parameters[name].data = group.weights[i]
                parameters[name].grad = group.gradients[i]
            self.groups.append(group)

    def named(self, buffer: Tensor) -> dict[str, Tensor]:
        """Views of a buffer laid out like the weights, by the parameters' names."""
        return {
            name: buffer[group.span].view(group.weights.shape)[i]
            for group in self.groups
            for i, name in enumerate(group.names)
        }


class Nadam:
    """Adam with Nesterov momentum, as the paper's software has it.

    Written out, since ``torch.optim`` takes seconds to import what its first step asks for.

    Parameters
    ----------
    parameters : FlatParameters
    decays : (float, float)
        Of the averages of the gradient and of its square.
    eps : float
        Added to the root of the second moment.
    momentum_decay : float
        Of the schedule of the momentum.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        decays: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-7,
        momentum_decay: float = 4e-3,
    ):
        self.parameters, self.decays, self.eps, self.momentum_decay = parameters, decays, eps, momentum_decay
        self.count, self.product = 0, 1.0
        self.mean = torch.zeros_like(parameters.weights)
        self.square = torch.zeros_like(parameters.weights)

    def step(self, rate: float) -> None:
        """Take one step at a learning rate."""
        self.count += 1
        first, second = self.decays
        gradients = self.parameters.gradients
        now, following = (
            first * (1 - 0.5 * 0.96 ** (count * self.momentum_decay)) for count in (self.count, self.count + 1)
        )
        self.product *= now
        self.mean.lerp_(gradients, 1 - first)
        self.square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        root = self.square.div(1 - second**self.count).sqrt_().add_(self.eps)
        self.parameters.weights.addcdiv_(gradients, root, value=-rate * (1 - now) / (1 - self.product))
        self.parameters.weights.addcdiv_(self.mean, root, value=-rate * following / (1 - self.product * following))

    def state(self) -> dict[str, Tensor]:
        """Name everything the next step depends on, beside weights and gradients."""
        position = {"count": torch.tensor(self.count), "product": torch.tensor(self.product, dtype=torch.float64)}
        return position | {"mean": self.mean, "square": self.square}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        self.count, self.product = int(state["count"]), float(state["product"])
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])


class Rotation:
    """The two eigenbases in which SOAP runs Adam for one group of weights.

    A weight is taken as a matrix per member and box: from (taps and input channels) to output channels, for
    interpolation from input channels to (taps and output channels). ``rows`` and ``columns`` are running averages
    of G Gᵀ and Gᵀ G, shared by the boxes of a layer; their eigenvectors are the bases.

    Parameters
    ----------
    group : Group
        Weights of shape (count, members, [boxes,] taps, out, in).
    decay : float
        Of the running averages.
    """

    def __init__(self, group: Group, decay: float):
        self.decay = decay
        shape = group.weights.shape
        locally = len(shape) == 6
        # (count, members, boxes, taps, out, in) -> rows, boxes, columns: both products below are then plain views
        axes = (0, 1, 3, 4, 2, 5) if group.interpolation else (0, 1, 4, 2, 3, 5)
        self.order = axes
        self.expanded = shape if locally else (*shape[:2], 1, *shape[2:])
        boxes, taps, outputs, inputs = self.expanded[2:]
        self.batch = shape[0] * shape[1]
        self.p, self.q = (taps * outputs, inputs) if group.interpolation else (outputs, taps * inputs)
        self.boxes = boxes
        new = group.weights.new_zeros
        self.factors = [new(self.batch, n, n) if n <= LARGEST_FACTOR else None for n in (self.p, self.q)]
        self.bases = [None if factor is None else torch.zeros_like(factor) for factor in self.factors]

    def matrix(self, gradients: Tensor) -> Tensor:
        """Lay the group's gradients out as (batch, p, boxes q)."""
        return gradients.view(self.expanded).permute(self.order).contiguous().view(self.batch, self.p, -1)

    def weights(self, matrix: Tensor) -> Tensor:
        """Inverse of :meth:`matrix`, as (count, members, boxes, taps, out, in)."""
        inverse = [self.order.index(axis) for axis in range(6)]
        return matrix.view([self.expanded[axis] for axis in self.order]).permute(inverse)

    def observe(self, matrix: Tensor) -> None:
        """Add a gradient to the running averages."""
        tall = self.tall(matrix)
        for factor, left, right in zip(self.factors, (matrix, tall.mT), (matrix.mT, tall), strict=True):
            if factor is not None:
                factor.baddbmm_(left, right, beta=self.decay, alpha=1 - self.decay)

    def into(self, matrix: Tensor) -> Tensor:
        """Rotate a (batch, p, boxes q) matrix into the eigenbases: Q_Lᵀ G Q_R."""
        return self.sandwich(matrix, *(basis if basis is None else basis.mT for basis in self.bases))

    def out_of(self, matrix: Tensor) -> Tensor:
        """Rotate back: Q_L N Q_Rᵀ."""
        return self.sandwich(matrix, *self.bases)

    def sandwich(self, matrix: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        """Left · matrix · rightᵀ for every box, either factor None for the identity."""
        if left is not None:
            matrix = torch.bmm(left, matrix)
        if right is not None:
            matrix = torch.bmm(self.tall(matrix), right.mT).view(self.batch, self.p, -1)
        return matrix

    def tall(self, matrix: Tensor) -> Tensor:
        """View a (batch, p, boxes q) matrix as (batch, p boxes, q)."""
        return matrix.view(self.batch, -1, self.q)

    def begin(self) -> None:
        """Take the eigenvectors of the first averages as bases, largest eigenvalue first."""
        for basis, factor in zip(self.bases, self.factors, strict=True):
            if basis is not None:
                basis.copy_(torch.linalg.eigh(factor).eigenvectors.flip(-1))

    def turn(self, mean: Tensor, square: Tensor) -> None:
        """Follow the averages by one step of orthogonal iteration, carrying Adam's moments (in place) along."""
        turns = []
        for side, (basis, factor) in enumerate(zip(self.bases, self.factors, strict=True)):
            if basis is None:
                turns.append(None)
                continue
            product = torch.bmm(factor, basis)
            order = (basis * product).sum(1).argsort(dim=-1, descending=True)
            columns = order.unsqueeze(1).expand_as(product)
            new = torch.linalg.qr(product.gather(2, columns)).Q
            turns.append(torch.bmm(new.mT, basis))
            basis.copy_(new)
            self.reorder(square, order, side)
        mean.copy_(self.sandwich(mean, *turns))

    def reorder(self, matrix: Tensor, order: Tensor, side: int) -> None:
        """Permute the rows (side 0) or columns (side 1) of every box's matrix, in place."""
        view, index = (matrix, order.unsqueeze(2)) if side == 0 else (self.tall(matrix), order.unsqueeze(1))
        view.copy_(view.gather(side + 1, index.expand_as(view)))


class Soap:
    """Adam in the slowly turning eigenbases of Shampoo's preconditioner (arXiv:2409.11321), batched over members.

    Biases are left to plain Adam. The first step only sets the bases.

    Parameters
    ----------
    parameters : FlatParameters
    decays : (float, float)
        Of the averages of the gradient and of its square; the second also of the preconditioner's.
    eps : float
        Added to the root of the second moment.
    period : int
        Steps between two updates of the bases.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        decays: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        period: int = 10,
    ):
        self.parameters, self.decays, self.eps, self.period = parameters, decays, eps, period
        self.count = 0
        self.mean = torch.zeros_like(parameters.weights)
        self.square = torch.zeros_like(parameters.weights)
        self.rotated = torch.zeros_like(parameters.weights)
        self.rotations = {
            i: Rotation(group, decays[1])
            for i, group in enumerate(parameters.groups)
            if group.names[0].endswith("weight")
        }

    def step(self, rate: float) -> None:
        """Take one step at a learning rate."""
        self.count += 1
        matrices = {i: rotation.matrix(self.parameters.groups[i].gradients) for i, rotation in self.rotations.items()}
        for i, rotation in self.rotations.items():
            rotation.observe(matrices[i])
            if self.count == 1:
                rotation.begin()
        if self.count > 1:
            self._descend(matrices, rate)
        if self.count % self.period == 0:
            for i, rotation in self.rotations.items():
                rotation.turn(self._part(self.mean, i), self._part(self.square, i))

    def _descend(self, matrices: dict[int, Tensor], rate: float) -> None:
        self.rotated.copy_(self.parameters.gradients)
        for i, rotation in self.rotations.items():
            self._part(self.rotated, i).copy_(rotation.into(matrices[i]))
        first, second = self.decays
        self.mean.lerp_(self.rotated, 1 - first)
        self.square.mul_(second).addcmul_(self.rotated, self.rotated, value=1 - second)
        step = self.count - 1
        correction = (1 - second**step) ** 0.5
        torch.div(self.mean, self.square.sqrt().add_(self.eps * correction), out=self.rotated)
        self.rotated.mul_(-rate * correction / (1 - first**step))
        for i, group in enumerate(self.parameters.groups):
            if i in self.rotations:
                rotation = self.rotations[i]
                update = rotation.weights(rotation.out_of(self._part(self.rotated, i)))
                group.weights.view(update.shape).add_(update)
            else:
                group.weights.add_(self.rotated[group.span].view(group.weights.shape))

    def _part(self, buffer: Tensor, i: int) -> Tensor:
        rotation = self.rotations[i]
        return buffer[self.parameters.groups[i].span].view(rotation.batch, rotation.p, -1)

    def state(self) -> dict[str, Tensor]:
        """Name everything the next step depends on, beside weights and gradients."""
        state = {"count": torch.tensor(self.count), "mean": self.mean, "square": self.square}
        for i, rotation in self.rotations.items():
            for side in (0, 1):
                if rotation.factors[side] is not None:
                    state[f"factor.{i}.{side}"] = rotation.factors[side]
                    state[f"basis.{i}.{side}"] = rotation.bases[side]
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.count = int(state["count"])


OPTIMISERS = {"nadam": Nadam, "soap": Soap}
