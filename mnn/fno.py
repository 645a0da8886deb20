"""A Fourier neural operator of about equal size, to compare with: ``python -m mnn.fno``. Needs the extra ``fno``.

The operator is that of the package neuraloperator, trained by this package's engine on the same samples and the same
loss: fields standardised, a learning rate that rises and then falls along half a cosine, Nadam or SOAP. Size and time
are taken from a trained model:

    python -m mnn.fno --like model.safetensors --train train.nc --validation valid.nc --test test.nc --output fno.json

trains an operator with either optimiser, each for as long as one member of the model takes, and writes the errors of
the one that is better on the validation set in the form of ``python -m mnn.baselines``, under the name ``fno``. Some
steps of both are timed at once, on a CPU in processor time, so that what else the machine does favours neither.
``--parameters`` with ``--seconds`` or ``--epochs`` asks for the same without a model.
"""

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnn import command, data, model_file, normalise
from mnn.baselines import ROLES
from mnn.parameters import count_parameters
from mnn.recipes import OPTIMISERS, Recipe
from mnn.training import Plan, Samples, Training, errors

LAYERS = 4
MODES = {1: 24, 2: 12, 3: 8}
"""Axes -> modes along each, as neuraloperator counts them: of both signs."""
MOST_CHANNELS = 256
PADDING = 0.25
"""Share of a bounded domain that is added to it before the Fourier transforms."""
RATES = {"nadam": 2e-2, "soap": 4e-2}
"""Optimiser -> the highest learning rate: best on held-out samples of six maps after 3 to 7 epochs."""
BATCHES = 50
TIMED = 20
"""Steps that are timed to find how many epochs fill the seconds asked for."""


@dataclass(frozen=True)
class Size:
    """An operator on a grid.

    Attributes
    ----------
    shape : tuple of int
        Grid points along each axis.
    channels, modes : int
    periodic : bool
        On a periodic domain the operator commutes with translations; on another one it is given the coordinates as
        further channels, and the domain is padded.
    """

    shape: tuple[int, ...]
    channels: int
    modes: int
    periodic: bool

    def build(self) -> nn.Module:
        """Make neuraloperator's operator, (batch, 1, *shape) -> (batch, 1, *shape).

        Raises
        ------
        ValueError
            If the package is not installed.
        """
        try:
            from neuralop.models import FNO
        except ImportError:
            raise ValueError("neuraloperator: not installed, `make extras` does that") from None
        modes = (self.modes,) * len(self.shape)
        place = {"positional_embedding": None if self.periodic else "grid"}
        if not self.periodic:
            place["domain_padding"] = PADDING
        return FNO(modes, in_channels=1, out_channels=1, hidden_channels=self.channels, n_layers=LAYERS, **place)

    @cached_property
    def parameters(self) -> int:
        """Real numbers that are trained."""
        return sum(p.numel() * (2 if p.is_complex() else 1) for p in self.build().parameters())


def size_near(parameters: int, shape: tuple[int, ...], periodic: bool, modes: int | None = None) -> Size:
    """Find the channels whose operator has about the given number of parameters.

    Raises
    ------
    ValueError
        If no number of channels comes within a factor of two.
    """
    modes = min(modes or MODES[len(shape)], *shape)
    low, high = 1, MOST_CHANNELS
    while high - low > 1:  # the least number of channels with too many parameters is above low, at most high
        middle = (low + high) // 2
        low, high = (middle, high) if Size(shape, middle, modes, periodic).parameters <= parameters else (low, middle)
    sizes = [Size(shape, channels, modes, periodic) for channels in (low, high)]
    best = min(sizes, key=lambda size: max(size.parameters / parameters, parameters / size.parameters))
    if not 0.5 <= best.parameters / parameters <= 2:
        allowed = " to ".join(str(size.parameters) for size in sizes)
        raise ValueError(f"parameters: {parameters} given, {modes} modes and 1 to {MOST_CHANNELS} channels: {allowed}")
    return best


class FourierOperator(nn.Module):
    """Operators as members of one network, for the training engine: real parameters, an axis of members first.

    A matrix of the operator is held as (members, taps, out, in), complex ones with the real and imaginary parts of
    all modes as taps, so that SOAP rotates channels and modes as it does for every other tensor.

    Parameters
    ----------
    size : Size
    seeds : sequence of int
        Of the members' initial weights, which are those of neuraloperator.
    """

    def __init__(self, size: Size, seeds: Sequence[int]):
        super().__init__()
        self.members = len(seeds)
        built = []
        for seed in seeds:
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(seed)
                built.append(size.build())
        self.names, self.dimension = {}, len(size.shape)
        self.operator = [built[0].requires_grad_(False)]  # in a list, so that its parameters are not the network's
        for name, parameter in built[0].named_parameters():
            values = torch.stack([_real(dict(each.named_parameters())[name].detach()) for each in built])
            own = name.removesuffix(".tensor").replace(".", "_")
            self.register_parameter(own, nn.Parameter(values))
            self.names[own] = name, parameter.shape, parameter.is_complex()

    def forward(self, v: Tensor) -> Tensor:
        """Map (batch, *shape) or (members, batch, *shape) to (members, batch, *shape)."""
        alike = v.dim() == self.dimension + 1
        outputs = []
        for member in range(self.members):
            weights = {name: _shaped(getattr(self, own)[member], *like) for own, (name, *like) in self.names.items()}
            fields = (v if alike else v[member]).unsqueeze(1)
            outputs.append(functional_call(self.operator[0], weights, (fields,)).squeeze(1))
        return torch.stack(outputs)

    def _apply(self, function, recurse=True):
        self.operator[0]._apply(function)
        return super()._apply(function, recurse)


def _real(weight: Tensor) -> Tensor:
    """Lay a parameter out for the engine: matrices as (taps, out, in), anything else as it is."""
    if weight.is_complex():  # (in, out, *modes)
        return torch.view_as_real(weight).flatten(2).permute(2, 1, 0).contiguous()
    if weight.dim() >= 3:  # (out, in, *1)
        return weight.flatten(2).permute(2, 0, 1).contiguous()
    return weight


def _shaped(values: Tensor, shape: torch.Size, is_complex: bool) -> Tensor:
    """Inverse of `_real`, in a parameter's shape."""
    if is_complex:
        return torch.view_as_complex(values.permute(2, 1, 0).reshape(*shape, 2).contiguous())
    if len(shape) >= 3:
        return values.permute(1, 2, 0).reshape(shape)
    return values


def clock(device: torch.device) -> float:
    """Seconds that this process has worked on a CPU, or that have passed for a GPU."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def step_seconds(job: Training) -> float:
    """Seconds a step of a training takes, by its first steps."""
    device, start = job.sums.device, 2  # the first two bear what only a start costs
    job.run(lambda training: training.steps_done >= start, lambda training: None)
    begun = clock(device)
    job.run(lambda training: training.steps_done >= start + TIMED, lambda training: None)
    return (clock(device) - begun) / TIMED


def seconds_like(model, sets: dict[str, Samples]) -> float:
    """Seconds that training one member of a model takes here, on samples like those given."""
    record = model.record
    recipe = Recipe(**{key: value for key, value in record["recipe"].items() if key != "name"})
    steps = record["data"]["train"]["samples"] // record["batch_size"] * record["epochs"]
    plan = Plan(recipe, start_epochs(len(sets["train"]), record["batch_size"]), record["batch_size"], record["seeds"])
    network = model.network.train().to(sets["train"].input.device)
    return step_seconds(Training(network, plan, sets["train"], sets["validation"])) * steps / network.members


def start_epochs(samples: int, batch_size: int) -> int:
    """Epochs enough for the steps that are timed."""
    return 2 + (TIMED + 2) // max(1, samples // batch_size)


@dataclass(frozen=True)
class Outcome:
    """An operator trained with one optimiser: means over samples of the errors (4.1), a number for each member."""

    optimiser: str
    epochs: int
    seconds: float
    validation: list[float]
    train: list[float]
    test: list[float]
    train_std: list[float]
    test_std: list[float]


@dataclass(frozen=True)
class Budget:
    """How long an operator is trained: epochs, or seconds for each member."""

    epochs: int | None
    seconds: float | None


def train(size: Size, sets: dict[str, Samples], recipe: Recipe, budget: Budget, seeds: Sequence[int]) -> Outcome:
    """Train operators from several seeds with one recipe, and measure them."""
    device = sets["train"].input.device

    def start(plan: Plan) -> Training:
        network = FourierOperator(size, plan.seeds).to(device)
        return Training(network, plan, sets["train"], sets["validation"])

    batch, epochs = max(1, len(sets["train"]) // recipe.batches), budget.epochs
    if epochs is None:
        job = start(Plan(recipe, start_epochs(len(sets["train"]), batch), batch, tuple(seeds)))
        epochs = max(1, round(budget.seconds * len(seeds) / (step_seconds(job) * job.steps_per_epoch)))
    job = start(plan := Plan(recipe, epochs, batch, tuple(seeds)))
    begun = clock(device)
    job.run(lambda training: False, lambda training: None)
    seconds = clock(device) - begun
    found = {role: errors(job.network, sets[role]) for role in ("train", "test")}
    means = {role: values.mean(1).tolist() for role, values in found.items()}
    spreads = {f"{role}_std": values.std(1).tolist() for role, values in found.items()}
    validation = job.history[-1]["validation_error"]
    return Outcome(recipe.optimiser, plan.epochs, round(seconds, 3), validation, **means, **spreads)


def median(values: Sequence[float]) -> float:
    """The middle one, of an even number the upper."""
    return sorted(values)[len(values) // 2]


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Train Fourier neural operators of about the size of a model for as long, and measure their errors.",
        """python -m mnn.fno --like model.safetensors --train train_*.nc --n-train 5000 \\
    --validation validation.nc --test test.nc --output fno.json""",
    )
    command.add_sets(parser, *ROLES)
    add = parser.add_argument
    add("--like", metavar="MODEL", help="take parameters, and seconds a member, from this model")
    add("--parameters", type=int, metavar="N", help="aim at so many parameters")
    add("--seconds", type=float, metavar="S", help="training time of each operator")
    add("--epochs", type=int, metavar="E", help="passes over the training samples, instead of a time")
    add("--optimiser", choices=OPTIMISERS, action="append", help="may be repeated; default: both")
    add("--modes", type=int, metavar="M", help=f"modes along an axis; default: {MODES} by the number of axes")
    add("--learning-rate", type=float, metavar="RATE", help=f"default: {RATES}")
    add("--members", type=int, default=1, metavar="S", help="operators of each kind; default: 1")
    add("--seed", type=int, default=0, help="of the first one; default: 0")
    add("--output", required=True, metavar="FILE", help="JSON file to write")
    command.add_device(parser)
    return parser.parse_args(arguments)


def budget_of(options: Namespace, model, sets: dict[str, Samples]) -> tuple[int, Budget]:
    """Parameters and budget, of the options or of the model given.

    Raises
    ------
    ValueError
        If neither says them, or a value is not allowed.
    """
    parameters, seconds = options.parameters, options.seconds
    if model is not None:
        parameters = parameters or count_parameters(model.network)
        seconds = seconds or (None if options.epochs else seconds_like(model, sets))
    given = {"parameters": parameters, "epochs or seconds": options.epochs or seconds, "members": options.members}
    for name, value in given.items():
        if value is None:
            raise ValueError(f"{name}: missing, or --like with a model to take it from")
        if value <= 0:
            raise ValueError(f"{name}: {value} given, a number above 0 allowed")
    return parameters, Budget(options.epochs, seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, write and print."""
    from solvers.files import atomic

    options = parse(arguments)
    device = command.device(options.device, options.threads)
    model = None if options.like is None else model_file.load(options.like)
    fields = data.read_sets(options, *ROLES)
    periodic = bool(fields["train"].grid.get("periodic"))
    kind = "standard" if periodic else "pointwise"
    statistics = normalise.fit(fields["train"].input, fields["train"].output, kind)
    sets = {role: Samples.prepare(part.input, part.output, statistics, device) for role, part in fields.items()}
    parameters, budget = budget_of(options, model, sets)
    size = size_near(parameters, fields["train"].shape, periodic, options.modes)
    seeds = range(options.seed, options.seed + options.members)
    outcomes = []
    for optimiser in options.optimiser or OPTIMISERS:
        rate = options.learning_rate or RATES[optimiser]
        recipe = Recipe(
            optimiser,
            rate,
            "cosine",
            0.02,
            normalisation=kind,
            initial="neuraloperator",
            batches=BATCHES,
            loss="relative",
        )
        outcomes.append(outcome := train(size, sets, recipe, budget, seeds))
        measured = f"{optimiser}: {outcome.epochs} epochs, {outcome.seconds:.0f} s, {size.parameters} parameters"
        print(f"{measured}, test error {', '.join(f'{error:.2e}' for error in outcome.test)}", flush=True)
    described = {role: {"samples": len(part), "checksum": part.checksum} for role, part in fields.items()}
    with atomic(options.output) as temporary:
        temporary.write_text(json.dumps(report(size, outcomes) | {"data": described}, indent=2, sort_keys=True) + "\n")
    return 0


def report(size: Size, outcomes: list[Outcome]) -> dict:
    """Lay the outcomes out as `mnn.baselines` does; of several optimisers the better one on the validation set."""
    best = min(outcomes, key=lambda outcome: median(outcome.validation))
    columns = {"train_mean": best.train, "train_std": best.train_std, "test_mean": best.test, "test_std": best.test_std}
    statistics = {name: median(values) for name, values in columns.items()}
    description = f"Fourier neural operator, {size.parameters} parameters, {best.optimiser}, {best.epochs} epochs"
    entry = {"description": description, "parameters": size.parameters, "size": asdict(size), **statistics}
    return {"baselines": {"fno": entry}, "optimisers": [asdict(outcome) for outcome in outcomes]}


if __name__ == "__main__":
    command.run(main)
