"""What a network must beat: the mean of the training set and the best linear map. ``python -m mnn.baselines``."""

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mnn import command, linear
from mnn.data import FieldSet, over_signal

ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Baseline:
    """A predictor: a name, what it is, and a map from (batch, *shape) to (batch, *shape)."""

    name: str
    description: str
    predict: Callable[[np.ndarray], np.ndarray]


def relative_errors(predict: Callable[[np.ndarray], np.ndarray], fields: FieldSet) -> np.ndarray:
    """Relative error (4.1) of a predictor on every sample: (samples,)."""
    parts = []
    for inputs, outputs in linear.chunks(fields.input, fields.output):
        difference = (predict(inputs) - outputs).reshape(len(inputs), -1)
        parts.append(np.linalg.norm(difference, axis=1) / np.linalg.norm(outputs.reshape(len(inputs), -1), axis=1))
    return np.concatenate(parts)


def mean_predictor(train: FieldSet) -> Baseline:
    """Predict the mean output of the training set, point by point."""
    mean = train.output.mean(axis=0, dtype=np.float64)
    return Baseline("mean", "mean output of the training set", lambda inputs: mean)


def linear_map(train: FieldSet, validation: FieldSet, invariant: bool) -> Baseline:
    """Predict by the best linear map, see :func:`mnn.linear.fit`."""
    fitted = linear.fit((train.input, train.output), (validation.input, validation.output), invariant)
    kind = "best translation-invariant linear map" if invariant else "best linear map, by ridge regression"
    return Baseline("linear", kind, fitted)


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Measure the mean predictor and the best linear map, the references of every error.",
        """python -m mnn.baselines --train train_*.nc --validation validation.nc --test test.nc \\
    --n-train 5000 --output baselines.json""",
    )
    command.add_sets(parser, *ROLES)
    parser.add_argument(
        "--linear",
        choices=("auto", "invariant", "ridge"),
        default="auto",
        help="kind of linear map; auto (default): invariant where the data set says that it is periodic",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON file to write")
    command.add_background(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, write and print the baselines."""
    from mnn import data
    from solvers.files import atomic

    options = parse(arguments)
    sets = data.read_sets(options, *ROLES)
    invariant = options.linear == "invariant" or (options.linear == "auto" and sets["train"].grid.get("periodic"))
    references = mean_predictor(sets["train"]), linear_map(sets["train"], sets["validation"], bool(invariant))
    background = options.background and data.background(options.background, sets["train"].grid, options.variables)
    measured = {reference.name: measure(reference, sets, background) for reference in references}
    described = {role: {"samples": len(fields), "checksum": fields.checksum} for role, fields in sets.items()}
    with atomic(options.output) as temporary:
        temporary.write_text(json.dumps({"baselines": measured, "data": described}, indent=2, sort_keys=True) + "\n")
    for statistics in measured.values():
        print(f"{statistics['description']}: test error {statistics['test_mean']:.2e}")
    return 0


def measure(baseline: Baseline, sets: dict[str, FieldSet], background: np.ndarray | None = None) -> dict:
    """Mean and standard deviation over samples of the errors on training and test set.

    With u_0, ``background``, also of the errors relative to the signal u - u_0.
    """
    statistics = {"description": baseline.description}
    for role in ("train", "test"):
        errors = {"": relative_errors(baseline.predict, sets[role])}
        if background is not None:
            errors["signal_"] = errors[""] * over_signal(sets[role].output, background)
        for prefix, values in errors.items():
            statistics |= {f"{role}_{prefix}mean": float(values.mean()), f"{role}_{prefix}std": float(values.std())}
    return statistics


if __name__ == "__main__":
    command.run(main)
