"""The training engine: members side by side, data resident on the device, no host synchronisation within an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mnn import compiled
from mnn.graphs import captured
from mnn.networks import MultiscaleNetwork
from mnn.normalise import Normalisation
from mnn.optimisers import OPTIMISERS, FlatParameters
from mnn.recipes import Recipe

LEAST_SQUARES = torch.finfo(torch.float32).tiny
"""Smallest sum of squares of a residual, so that the gradient of its root is finite."""

EVALUATION_CHUNK = 512
"""Samples a network is given at once where no gradient is needed."""


class DivergedError(RuntimeError):
    """The loss of a member is no longer a number."""


@dataclass(frozen=True)
class Samples:
    """Normalised fields of a data set on the device, and what turns a residual into the error (4.1).

    Attributes
    ----------
    input, output : (samples, *shape)
    weight : (samples,)
        Scale of the output over the physical norm of the sample's output.
    """

    input: Tensor
    output: Tensor
    weight: Tensor

    @classmethod
    def prepare(
        cls, inputs: np.ndarray, outputs: np.ndarray, normalisation: Normalisation, device: torch.device
    ) -> "Samples":
        """Normalise fields of shape (samples, *shape) in physical units and move them to the device."""
        norm = np.sqrt(np.square(outputs, dtype=np.float64).reshape(len(outputs), -1).sum(axis=1))
        inputs, outputs = (torch.from_numpy(np.ascontiguousarray(field, np.float32)) for field in (inputs, outputs))
        return cls(
            normalisation.input.apply(inputs).to(device),
            normalisation.target(inputs, outputs).to(device),
            (normalisation.output.scale.item() / torch.from_numpy(norm)).float().to(device),
        )

    def __len__(self) -> int:
        return len(self.input)

    def error(self, squares: Tensor, index: Tensor | slice) -> Tensor:
        """Relative error (4.1) from sums of squares of the normalised residual, (members, batch)."""
        return squares.clamp_min(LEAST_SQUARES).sqrt() * self.weight[index]


def residual_squares(prediction: Tensor, target: Tensor) -> Tensor:
    """Sum of squares over the grid: (members, batch, *shape) -> (members, batch)."""
    return (prediction - target).square().flatten(2).sum(2)


@torch.no_grad()
def errors(network: nn.Module, samples: Samples) -> Tensor:
    """Relative error (4.1) of every member on every sample: (members, samples)."""
    parts = []
    for start in range(0, len(samples), EVALUATION_CHUNK):
        part = slice(start, start + EVALUATION_CHUNK)
        squares = residual_squares(by_member(network, samples.input[part]), samples.output[part])
        parts.append(samples.error(squares, part))
    return torch.cat(parts, dim=1)


def by_member(network: nn.Module, field: Tensor) -> Tensor:
    """Apply a network to (batch, *shape), the result always with the axis of members: (members, batch, *shape)."""
    return network(field.unsqueeze(0) if network.members == 1 else field)


def batch_order(seed: int, epoch: int, samples: int, batch_size: int) -> np.ndarray:
    """Sample indices of one member's epoch, (batches, batch_size): a pure function of seed and epoch.

    A remainder smaller than a batch sits the epoch out; it is another one every time.
    """
    permutation = np.random.default_rng((seed, epoch)).permutation(samples)
    return permutation[: samples // batch_size * batch_size].reshape(-1, batch_size)


def random_shifts(seed: int, epoch: int, batches: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Translations of one member's epoch in grid points, (*batches, axes): a pure function of seed and epoch."""
    return np.random.default_rng((seed, epoch, 1)).integers(shape, size=(*batches, len(shape)))


def translation(shifts: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Where each point of a translated periodic field comes from: (..., axes) -> (..., points), row-major indices."""
    source = 0
    for axis, length in enumerate(shape):
        line = (torch.arange(length, device=shifts.device) + shifts[..., axis, None]) % length
        line = line.view(*shifts.shape[:-1], *(length if a == axis else 1 for a in range(len(shape))))
        source = source * length + line
    return source.flatten(shifts.dim() - 1)


@dataclass(frozen=True)
class Plan:
    """What is asked of a training, beside network and data.

    Attributes
    ----------
    recipe : Recipe
    epochs, batch_size : int
    seeds : tuple of int
        One for each member: its initial weights and its order of samples.
    """

    recipe: Recipe
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]


class Training:
    """A training in progress: everything that changes from step to step, and the step.

    Parameters
    ----------
    network : torch.nn.Module
        With as many members as the plan has seeds; its parameters become views of one buffer.
    plan : Plan
    train, validation : Samples
    """

    def __init__(self, network: nn.Module, plan: Plan, train: Samples, validation: Samples):
        if plan.batch_size > len(train):
            raise ValueError(f"batch_size: {plan.batch_size} given, at most the {len(train)} training samples allowed")
        self.network, self.plan, self.train, self.validation = network, plan, train, validation
        self.parameters = FlatParameters(network)
        if train.input.device.type == "cpu" and isinstance(network, MultiscaleNetwork):
            compiled.bind(network, self.parameters.weights, self.parameters.gradients)
        self.optimiser = OPTIMISERS[plan.recipe.optimiser](self.parameters)
        self.average = self.parameters.weights.clone() if plan.recipe.average else None
        self.steps_per_epoch = len(train) // plan.batch_size
        self.points = math.prod(train.input.shape[1:])
        self.epoch, self.step = 0, 0
        self.seconds = 0.0
        self.history: list[dict] = []
        device = train.input.device
        self.sums = torch.zeros(2, len(plan.seeds), device=device)
        self.index = torch.zeros(len(plan.seeds), plan.batch_size, dtype=torch.int64, device=device)
        self.shift = None
        if plan.recipe.shifts:
            self.shift = torch.zeros(*self.index.shape, train.input.dim() - 1, dtype=torch.int64, device=device)
        self._draw()
        self._find_gradients = None

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.plan.epochs

    @property
    def steps_done(self) -> int:
        """Steps taken since the beginning."""
        return self.epoch * self.steps_per_epoch + self.step

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.plan.recipe.rate(step, self.plan.epochs * self.steps_per_epoch)

    def run(self, after_step: Callable[["Training"], bool], after_epoch: Callable[["Training"], None]) -> bool:
        """Train until all epochs are done.

        Parameters
        ----------
        after_step : callable
            Called with this training after every step; the training stops where it returns True.
        after_epoch : callable
            Called after every epoch, when its line of the history is written.

        Returns
        -------
        bool
            Whether the training is finished (and was not stopped).

        Raises
        ------
        DivergedError
            At the end of an epoch in which the loss of a member was not finite.
        """
        while not self.finished:
            begun = time.perf_counter()
            self._descend()
            if self.step == self.steps_per_epoch:
                self._close_epoch(begun)
                after_epoch(self)
            else:
                self.seconds += time.perf_counter() - begun
            if after_step(self) and not self.finished:
                return False
        return True

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return a step's inputs and targets, (members, batch, *shape)."""
        pair = self.train.input[self.index], self.train.output[self.index]
        if self.shift is None:
            return pair
        source = translation(self.shift, self.train.input.shape[1:])
        return tuple(field.flatten(2).gather(2, source).view(field.shape) for field in pair)

    def check_finite(self) -> None:
        """Raise DivergedError where the running loss of a member, or a weight, is not finite."""
        finite = torch.isfinite(self.sums[0])
        for group in self.parameters.groups:
            finite = finite & torch.isfinite(group.weights).transpose(0, 1).flatten(1).all(1)
        seeds = [str(seed) for seed, good in zip(self.plan.seeds, finite.tolist(), strict=True) if not good]
        if seeds:
            raise DivergedError(f"the loss of seed {', '.join(seeds)} is not finite in epoch {self.epoch + 1}")

    @contextmanager
    def result(self) -> Iterator[nn.Module]:
        """Give the network with the weights that count as the result (averaged, where the recipe averages)."""
        if self.average is None:
            yield self.network
            return
        own = self.parameters.weights.clone()
        self.parameters.weights.copy_(self.average)
        try:
            yield self.network
        finally:
            self.parameters.weights.copy_(own)

    def _differentiate(self) -> None:
        """Find the gradients of the batch that is chosen: the same operations on the same memory in every step."""
        inputs, targets = self.batch()
        self.parameters.gradients.zero_()
        squares = residual_squares(self.network(inputs), targets)
        error = self.train.error(squares, self.index).mean(1)
        loss = error if self.plan.recipe.loss == "relative" else squares.mean(1) / self.points
        loss.sum().backward()
        self.sums += torch.stack([loss, error]).detach()

    def choose(self) -> None:
        """Choose the batch of the next step."""
        self.index.copy_(self.order[:, self.step])
        if self.shift is not None:
            self.shift.copy_(self.shifts[:, self.step])

    def _descend(self) -> None:
        self.choose()
        if self._find_gradients is None:
            on_gpu = self.sums.device.type == "cuda"
            self._find_gradients = captured(self._differentiate, self.sums) if on_gpu else self._differentiate
        self._find_gradients()
        try:
            self.optimiser.step(self.rate(self.steps_done))
        except torch.linalg.LinAlgError:
            self.check_finite()
            raise
        if self.average is not None:
            decay = min(self.plan.recipe.average, (1 + self.steps_done) / (10 + self.steps_done))
            self.average.lerp_(self.parameters.weights, 1 - decay)
        self.step += 1

    def _close_epoch(self, begun: float) -> None:
        self.check_finite()
        loss, train_error = (self.sums / self.steps_per_epoch).tolist()
        rate = self.rate(self.steps_done - 1)
        with self.result() as network:
            validation_error = errors(network, self.validation).mean(1).tolist()
        self.epoch, self.step = self.epoch + 1, 0
        self.sums.zero_()
        self.seconds += time.perf_counter() - begun
        row = {"epoch": self.epoch, "seconds": round(self.seconds, 3), "learning_rate": rate}
        measures = {"loss": loss, "train_error": train_error, "validation_error": validation_error}
        self.history.append(row | measures)
        self._draw()

    def _draw(self) -> None:
        """Set the order (and shifts) of the samples of this epoch: pure functions of seed and epoch."""
        seeds, device = self.plan.seeds, self.train.input.device
        orders = [batch_order(seed, self.epoch, len(self.train), self.plan.batch_size) for seed in seeds]
        self.order = torch.from_numpy(np.stack(orders)).to(device)
        if self.plan.recipe.shifts:
            drawn = [random_shifts(seed, self.epoch, orders[0].shape, self.train.input.shape[1:]) for seed in seeds]
            self.shifts = torch.from_numpy(np.stack(drawn)).to(device)

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Everything the next step depends on, as tensors and as JSON-ready values."""
        tensors = {f"weights.{name}": tensor for name, tensor in self.parameters.named(self.parameters.weights).items()}
        tensors |= {f"optimiser.{name}": tensor for name, tensor in self.optimiser.state().items()}
        tensors["sums"] = self.sums
        if self.average is not None:
            tensors["average"] = self.average
        return tensors, {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }

    def load(self, tensors: dict[str, Tensor], values: dict) -> None:
        """Take up a state, so that the next step is the one that would have followed."""
        for name, tensor in self.parameters.named(self.parameters.weights).items():
            tensor.copy_(tensors[f"weights.{name}"])
        prefix = "optimiser."
        self.optimiser.load({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        self.sums.copy_(tensors["sums"])
        if self.average is not None:
            self.average.copy_(tensors["average"])
        self.epoch, self.step = values["epoch"], values["step"]
        self.seconds, self.history = values["seconds"], values["history"]
        self._draw()
