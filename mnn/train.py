"""Train networks: ``python -m mnn.train``. All members (seeds) of one configuration are trained in one program."""

import csv
import json
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mnn import command

STOPPED = 128
"""Exit code after SIGTERM or SIGINT, plus the signal's number: the training can go on from its checkpoint."""
ROLES = ("train", "validation")
TRAINING_KEYS = ("recipe", "epochs", "batch_size", "seed", "members", "overrides")


@dataclass(frozen=True)
class Request:
    """What ``--training`` asks for: a recipe by name with overrides, epochs, batch size, seeds."""

    recipe: str = "default"
    epochs: int = 100
    batch_size: int | None = None
    seed: int = 0
    members: int = 1
    overrides: dict | None = None

    def __post_init__(self):
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0), ("members", 1)):
            value = getattr(self, name)
            if name == "batch_size" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"training.{name}: {value!r} given, an integer of at least {least} expected")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each member."""
        return tuple(range(self.seed, self.seed + self.members))


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Train a network on a data set; a run that was interrupted goes on from its checkpoint.",
        """python -m mnn.train --network '{"levels": 6, "rank": 6, "depth": 5}' --training '{"epochs": 100}' \\
    --train train_*.nc --validation validation.nc --n-train 5000 --model model.safetensors \\
    --history history.csv --checkpoint checkpoint.safetensors""",
    )
    add = parser.add_argument
    network = "levels, rank, depth and other keys of mnn.NetworkSpec; shape is taken from the data"
    defaults = [f"{key} ({json.dumps(getattr(Request, key))})" for key in TRAINING_KEYS]
    add("--network", required=True, metavar="JSON", help=network)
    add("--training", required=True, metavar="JSON", help=f"any of {', '.join(defaults)}; in brackets the defaults")
    command.add_sets(parser, *ROLES)
    add("--model", required=True, metavar="FILE", help="safetensors file to write")
    add("--history", required=True, metavar="FILE", help="CSV file to write, a line an epoch")
    add("--checkpoint", required=True, metavar="FILE", help="safetensors file kept while the training lasts")
    add("--checkpoint-every", type=float, default=30.0, metavar="SECONDS", help="between two checkpoints; default: 30")
    add("--tensorboard", metavar="DIR", help="folder of a TensorBoard log (extra `tensorboard`); default: none")
    command.add_device(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and write model and history when all epochs are done."""
    options = parse(arguments)
    request = Request(**command.json_object(options.training, "training", TRAINING_KEYS))
    spec = command.json_object(options.network, "network")
    device = command.device(options.device, options.threads)

    from mnn import memory
    from mnn.training import DivergedError

    room = memory.free(device)
    training = None
    try:
        training, model, identity = prepare(options, request, spec, device)
        room = memory.free(device)
        if device.type == "cpu" and not memory.fits(training.network, training.plan.batch_size, room, device):
            raise MemoryError  # before the system's own remedy, which leaves no line
        with Keeper(training, Path(options.checkpoint), identity, options.checkpoint_every) as keeper:
            finished = watch(training, keeper, options.tensorboard)
    except DivergedError as error:
        kept = f"; the last good state is in {options.checkpoint}" if Path(options.checkpoint).exists() else ""
        print(f"error: {error}: try a lower overrides.learning_rate{kept}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not memory.exhausted(error):
            raise
        raise ValueError(shortage(options, training, room)) from None
    if not finished:
        print(f"stopped in epoch {training.epoch + 1}; the same command goes on from {options.checkpoint}")
        return STOPPED + keeper.asked
    publish(training, model, options)
    keeper.remove()
    return 0


def shortage(options: Namespace, training, room: int) -> str:
    """Say what fits into ``room`` bytes, which were free before there was too little memory."""
    from mnn import memory
    from solvers import dataset

    if training is not None:
        return memory.sizes_that_fit(training.network, training.plan.batch_size, room, training.sums.device)
    held = dataset.Source(options.train, *options.variables)
    return memory.samples_that_fit(options.n_train or held.count, held.shape, room)


def prepare(options: Namespace, request: Request, spec: dict, device) -> tuple:
    """Read the data, build the network and return (training, model to be, identity)."""
    from mnn import data, model_file, normalise
    from mnn.networks import network as build
    from mnn.recipes import recipe
    from mnn.training import Plan, Samples, Training

    chosen = recipe(request.recipe, **(request.overrides or {}))
    sets = data.read_sets(options, *ROLES)
    train, validation = sets.values()
    if spec.setdefault("shape", list(train.shape)) != list(train.shape):
        raise ValueError(f"network.shape: {spec['shape']} given, the data have {list(train.shape)}")
    periodic = bool(train.grid.get("periodic"))
    if (request.overrides or {}).get("shifts") and not periodic:
        raise ValueError("overrides.shifts: true given, allowed where the data set's attribute periodic is 1")
    chosen = replace(chosen, shifts=chosen.shifts and periodic)
    network = build(**spec, members=request.members, seed=request.seed, initial=chosen.initial).to(device)
    kind, pairs = chosen.statistics_for(network.spec), [(part.input, part.output) for part in (train, validation)]
    if chosen.linear:
        statistics = normalise.fit_rest(*pairs, kind, invariant=periodic)
    else:
        statistics = normalise.fit(*pairs[0], kind)
    size = request.batch_size or max(1, len(train) // chosen.batches)
    plan = Plan(chosen, request.epochs, size, request.seeds)
    samples = (Samples.prepare(*pair, statistics, device) for pair in pairs)
    training = Training(network, plan, *samples)
    record = {
        "recipe": {"name": request.recipe} | chosen.as_dict(),
        "epochs": request.epochs,
        "batch_size": size,
        "seeds": list(request.seeds),
        "data": {role: {"samples": len(part), "checksum": part.checksum} for role, part in sets.items()},
    }
    identity = record | {"network": network.spec.to_dict()}
    return training, model_file.Model(network, statistics, train.grid, record), identity


class Keeper:
    """Keeps a training's checkpoint: at intervals, and when the process is asked to end (SIGTERM, SIGINT).

    Parameters
    ----------
    training : Training
    path : Path
    identity : dict
        What the training is, see :func:`mnn.checkpoint.save`.
    interval : float
        Seconds between two checkpoints.
    """

    def __init__(self, training, path: Path, identity: dict, interval: float):
        self.training, self.path, self.identity, self.interval = training, path, identity, interval
        self.asked = 0
        self.due = time.monotonic() + min(interval, 1.0)  # the first one early: a short training can resume too

    def __enter__(self) -> "Keeper":
        self.handlers = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _ask(self, number, frame) -> None:
        self.asked = number

    def resume(self) -> bool:
        """Take up the checkpoint, if there is one."""
        from mnn import checkpoint

        return checkpoint.resume(self.path, self.training, self.identity)

    def after_step(self, training) -> bool:
        """Write a checkpoint if one is due; tell whether to stop."""
        if self.asked or time.monotonic() >= self.due:
            self.save()
        return bool(self.asked)

    def save(self) -> None:
        """Write a checkpoint, unless the training has just diverged."""
        from mnn import checkpoint

        self.training.check_finite()
        checkpoint.save(self.path, self.training, self.identity)
        self.due = time.monotonic() + self.interval

    def remove(self) -> None:
        """Remove the checkpoint of a training that is complete."""
        from solvers.files import remove

        remove(self.path)


def watch(training, keeper: Keeper, board: str | None) -> bool:
    """Run the training with a progress bar on a terminal, lines at intervals elsewhere, and a TensorBoard log."""
    from mnn.progress import Progress

    with Progress(training, keeper.resume(), board) as progress:
        return training.run(keeper.after_step, progress.after_epoch)


def publish(training, model, options: Namespace) -> None:
    """Write history and model."""
    from mnn import model_file

    last = training.history[-1]
    write_history(options.history, training.history, training.plan.seeds)
    trained = training.plan.epochs * training.steps_per_epoch * training.plan.batch_size * len(training.plan.seeds)
    model.record["seconds"] = round(training.seconds, 3)
    model.record["samples_per_second"] = round(trained / max(training.seconds, 1e-9), 1)
    model.record["validation_error"] = last["validation_error"]
    with training.result() as network:
        model_file.save(options.model, network.state_dict(), model)
    errors = ", ".join(f"{error:.2e}" for error in last["validation_error"])
    print(f"{options.model}: validation error {errors}; {model.record['samples_per_second']:.0f} samples/s")


def write_history(path: str, history: list[dict], seeds: Sequence[int]) -> None:
    """Write the history as CSV, a column for each member of loss, train and validation error."""
    from mnn.progress import MEASURES
    from solvers.files import atomic

    header = ["epoch", "seconds", "learning_rate", *(f"{measure}_seed{seed}" for measure in MEASURES for seed in seeds)]
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in history:
            values = [value for measure in MEASURES for value in row[measure]]
            writer.writerow([row["epoch"], row["seconds"], row["learning_rate"], *values])


if __name__ == "__main__":
    command.run(main)
