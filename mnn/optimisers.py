"""Optimisers over one flat buffer of parameters: a few large operations a step instead of hundreds of small ones."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LARGEST_FACTOR = 512
"""Modes of a weight longer than this are left unrotated by SOAP."""
LARGEST_MERGED = 128
"""Taps and channels are one mode of a weight up to this length, beyond it two: the cost is cubic in it."""


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
    """The eigenbases in which SOAP runs Adam for one group of weights.

    A weight is taken as a matrix, per member and box: output channels by (taps and input channels), for interpolation
    (taps and output channels) by input channels. Where the merged side is longer than ``LARGEST_MERGED``, it is taken
    as a tensor of three modes instead. Each mode has a factor, the running average of the products of gradients over
    all other modes (G Gᵀ and Gᵀ G of a matrix), shared by the boxes of a layer; its eigenvectors are the mode's basis.

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
        self.expanded = shape if len(shape) == 6 else (*shape[:2], 1, *shape[2:])
        self.order = (0, 1, 2, 3, 4, 5) if group.interpolation else (0, 1, 2, 4, 3, 5)
        boxes, taps, outputs, inputs = self.expanded[2:]
        merged = (taps * outputs, inputs) if group.interpolation else (outputs, taps * inputs)
        split = (taps, outputs, inputs) if group.interpolation else (outputs, taps, inputs)
        self.modes = merged if max(merged) <= LARGEST_MERGED else split
        self.shape = (shape[0] * shape[1], boxes, *self.modes)
        new = group.weights.new_zeros
        self.factors = [new(self.shape[0], n, n) if n <= LARGEST_FACTOR else None for n in self.modes]
        self.bases = [None if factor is None else torch.zeros_like(factor) for factor in self.factors]

    def tensor(self, gradients: Tensor) -> Tensor:
        """Lay the group's gradients out as (batch, boxes, *modes)."""
        return gradients.view(self.expanded).permute(self.order).contiguous().view(self.shape)

    def weights(self, tensor: Tensor) -> Tensor:
        """Inverse of :meth:`tensor`, as (count, members, boxes, taps, out, in)."""
        return tensor.view([self.expanded[axis] for axis in self.order]).permute(self.order)  # its own inverse

    def observe(self, tensor: Tensor) -> None:
        """Add a gradient to the running averages."""
        for mode, factor in enumerate(self.factors):
            if factor is not None:
                flat = tensor.movedim(mode + 2, -1).reshape(self.shape[0], -1, self.modes[mode])
                factor.baddbmm_(flat.mT, flat, beta=self.decay, alpha=1 - self.decay)

    def into(self, tensor: Tensor) -> Tensor:
        """Rotate into the eigenbases: Q_Lᵀ G Q_R of a matrix."""
        return self.multiply(tensor, [basis if basis is None else basis.mT for basis in self.bases])

    def out_of(self, tensor: Tensor) -> Tensor:
        """Rotate back: Q_L N Q_Rᵀ of a matrix."""
        return self.multiply(tensor, self.bases)

    def multiply(self, tensor: Tensor, matrices: list[Tensor | None]) -> Tensor:
        """Multiply every mode by a matrix, None for the identity.

        Each product takes the last axis and leaves its result as the first, so that after all of them the modes are
        in order again, behind them the boxes.
        """
        batch, boxes = self.shape[:2]
        for size, matrix in zip(reversed(self.modes), reversed(matrices), strict=True):
            flat = tensor.reshape(batch, -1, size).mT
            tensor = flat.contiguous() if matrix is None else torch.bmm(matrix, flat)
        return tensor.reshape(batch, -1, boxes).mT.reshape(self.shape)

    def begin(self) -> None:
        """Take the eigenvectors of the first averages as bases, largest eigenvalue first."""
        for basis, factor in zip(self.bases, self.factors, strict=True):
            if basis is not None:
                basis.copy_(torch.linalg.eigh(factor).eigenvectors.flip(-1))

    def turn(self, mean: Tensor, square: Tensor) -> None:
        """Follow the averages by one step of orthogonal iteration, carrying Adam's moments (in place) along."""
        turns: list[Tensor | None] = []
        for mode, (basis, factor) in enumerate(zip(self.bases, self.factors, strict=True)):
            if basis is None:
                turns.append(None)
                continue
            product = torch.bmm(factor, basis)
            order = (basis * product).sum(1).argsort(dim=-1, descending=True)
            new = torch.linalg.qr(product.gather(2, order.unsqueeze(1).expand_as(product))).Q
            turns.append(torch.bmm(new.mT, basis))
            basis.copy_(new)
            column = [len(order), 1, *(-1 if other == mode else 1 for other in range(len(self.modes)))]
            index = order.view(column).expand_as(square)
            square.copy_(square.gather(mode + 2, index))
        mean.copy_(self.multiply(mean, turns))


class Soap:
    """Adam in the slowly turning eigenbases of Shampoo's preconditioner (arXiv:2409.11321), batched over members.

    Unlike there, Adam takes Nesterov's momentum (Dozat, ICLR 2016 workshop): its mean is looked at one step ahead.
    Biases are left to Adam of the same kind. The first step only sets the bases.

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
        tensors = {i: rotation.tensor(self.parameters.groups[i].gradients) for i, rotation in self.rotations.items()}
        for i, rotation in self.rotations.items():
            rotation.observe(tensors[i])
            if self.count == 1:
                rotation.begin()
        if self.count > 1:
            self._descend(tensors, rate)
        if self.count % self.period == 0:
            for i, rotation in self.rotations.items():
                rotation.turn(self._part(self.mean, i), self._part(self.square, i))

    def _descend(self, tensors: dict[int, Tensor], rate: float) -> None:
        self.rotated.copy_(self.parameters.gradients)
        for i, rotation in self.rotations.items():
            self._part(self.rotated, i).copy_(rotation.into(tensors[i]))
        first, second = self.decays
        self.mean.lerp_(self.rotated, 1 - first)
        self.square.mul_(second).addcmul_(self.rotated, self.rotated, value=1 - second)
        step = self.count - 1
        correction = (1 - second**step) ** 0.5
        self.rotated.mul_((1 - first) / (1 - first**step)).add_(self.mean, alpha=first / (1 - first ** (step + 1)))
        self.rotated.div_(self.square.sqrt().add_(self.eps * correction)).mul_(-rate * correction)
        for i, group in enumerate(self.parameters.groups):
            if i in self.rotations:
                rotation = self.rotations[i]
                update = rotation.weights(rotation.out_of(self._part(self.rotated, i)))
                group.weights.view(update.shape).add_(update)
            else:
                group.weights.add_(self.rotated[group.span].view(group.weights.shape))

    def _part(self, buffer: Tensor, i: int) -> Tensor:
        rotation = self.rotations[i]
        return buffer[self.parameters.groups[i].span].view(rotation.shape)

    def state(self) -> dict[str, Tensor]:
        """Name everything the next step depends on, beside weights and gradients."""
        state = {"count": torch.tensor(self.count), "mean": self.mean, "square": self.square}
        for i, rotation in self.rotations.items():
            for mode, (factor, basis) in enumerate(zip(rotation.factors, rotation.bases, strict=True)):
                if factor is not None:
                    state |= {f"factor.{i}.{mode}": factor, f"basis.{i}.{mode}": basis}
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.count = int(state["count"])


OPTIMISERS = {"nadam": Nadam, "soap": Soap}
