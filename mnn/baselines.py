"""What a network must beat: the mean of the training set and the best linear map. ``python -m mnn.baselines``.

For a periodic problem the linear map is the best translation-invariant one, u = c + h * v: least squares mode by mode
in Fourier space. Otherwise it is the best affine map with ridge regularisation, chosen on the validation set.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnn import command
from mnn.data import FieldSet

ROLES = ("train", "validation", "test")
CHUNK = 1024
"""Samples worked on at once."""
REGULARISATIONS = 10.0 ** np.arange(-9, 1)
"""Ridge parameters tried, relative to the mean eigenvalue of the Gram matrix."""


@dataclass(frozen=True)
class Baseline:
    """A predictor: a name, what it is, and a map from (batch, *shape) to (batch, *shape)."""

    name: str
    description: str
    predict: Callable[[np.ndarray], np.ndarray]


def chunks(fields: FieldSet) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give input and output in float64, some samples at a time."""
    for start in range(0, len(fields), CHUNK):
        rows = slice(start, start + CHUNK)
        yield fields.input[rows].astype(np.float64), fields.output[rows].astype(np.float64)


def relative_errors(predict: Callable[[np.ndarray], np.ndarray], fields: FieldSet) -> np.ndarray:
    """Relative error (4.1) of a predictor on every sample: (samples,)."""
    parts = []
    for inputs, outputs in chunks(fields):
        difference = (predict(inputs) - outputs).reshape(len(inputs), -1)
        parts.append(np.linalg.norm(difference, axis=1) / np.linalg.norm(outputs.reshape(len(inputs), -1), axis=1))
    return np.concatenate(parts)


def mean_predictor(train: FieldSet) -> Baseline:
    """Predict the mean output of the training set, point by point."""
    mean = train.output.mean(axis=0, dtype=np.float64)
    return Baseline("mean", "mean output of the training set", lambda inputs: mean)


def invariant_map(train: FieldSet) -> Baseline:
    """Fit u = c + h * v, the best affine map that commutes with translations, by least squares mode by mode."""
    axes = tuple(range(1, train.input.ndim))
    input_mean, output_mean = (field.mean(dtype=np.float64) for field in (train.input, train.output))
    power, cross = 0.0, 0.0
    for inputs, outputs in chunks(train):
        v, u = np.fft.rfftn(inputs - input_mean, axes=axes), np.fft.rfftn(outputs - output_mean, axes=axes)
        power = power + np.square(np.abs(v)).sum(axis=0)
        cross = cross + (v.conj() * u).sum(axis=0)
    symbol = cross / np.maximum(power, np.finfo(float).tiny)

    def predict(inputs: np.ndarray) -> np.ndarray:
        modes = symbol * np.fft.rfftn(inputs - input_mean, axes=axes)
        return output_mean + np.fft.irfftn(modes, s=train.shape, axes=axes)

    return Baseline("linear", "best translation-invariant linear map", predict)


def ridge_map(train: FieldSet, validation: FieldSet) -> Baseline:
    """Fit the best affine map with ridge regularisation, its strength chosen on the validation set."""
    input_mean, output_mean = (field.mean(axis=0, dtype=np.float64) for field in (train.input, train.output))
    v = train.input.reshape(len(train), -1) - input_mean.ravel()
    u = train.output.reshape(len(train), -1) - output_mean.ravel()

    def affine(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def predict(inputs: np.ndarray) -> np.ndarray:
            flat = (inputs - input_mean).reshape(len(inputs), -1)
            return output_mean + (flat @ matrix).reshape(inputs.shape)

        return predict

    candidates = [affine(matrix) for matrix in ridge_matrices(v, u)]
    scores = [relative_errors(candidate, validation).mean() for candidate in candidates]
    best = int(np.argmin(scores))
    return Baseline("linear", f"ridge regression, relative parameter {REGULARISATIONS[best]:.0e}", candidates[best])


def ridge_matrices(v: np.ndarray, u: np.ndarray) -> list[np.ndarray]:
    """Solve min |v A - u|² + lambda |A|² for every lambda of REGULARISATIONS, by the smaller Gram matrix."""
    from scipy.linalg import solve

    wide = v.shape[0] < v.shape[1]
    gram = v @ v.T if wide else v.T @ v
    right = u if wide else v.T @ u
    scale = np.trace(gram) / len(gram)
    matrices = []
    for regularisation in REGULARISATIONS:
        shifted = gram + regularisation * scale * np.eye(len(gram))
        solution = solve(shifted, right, assume_a="pos")
        matrices.append(v.T @ solution if wide else solution)
    return matrices


def add_sets(parser: ArgumentParser) -> None:
    """Add the options that `read_sets` reads."""
    for role in ROLES:
        parser.add_argument(f"--{role}", required=True, nargs="+", metavar="FILE", help=f"netCDF shards, {role} set")
        parser.add_argument(f"--n-{role}", type=int, help="samples, the first ones; default: all")
    command.add_variables(parser)


def read_sets(options: Namespace) -> dict[str, FieldSet]:
    """Read training, validation and test set, which must lie on one grid."""
    from mnn import data

    sets = {
        role: data.read(getattr(options, role), getattr(options, f"n_{role}"), role, options.variables)
        for role in ROLES
    }
    for role in ROLES[1:]:
        data.check_same_grid(sets["train"].grid, sets[role].grid, role)
    return sets


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Measure the mean predictor and the best linear map, the references of every error.",
        """python -m mnn.baselines --train train_*.nc --validation validation.nc --test test.nc \\
    --n-train 5000 --output baselines.json""",
    )
    add_sets(parser)
    parser.add_argument(
        "--linear",
        choices=("auto", "invariant", "ridge"),
        default="auto",
        help="kind of linear map; auto (default): invariant where the data set says that it is periodic",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, write and print the baselines."""
    from mnn.files import atomic

    options = parse(arguments)
    sets = read_sets(options)
    invariant = options.linear == "invariant" or (options.linear == "auto" and sets["train"].grid.get("periodic"))
    linear = invariant_map(sets["train"]) if invariant else ridge_map(sets["train"], sets["validation"])
    measured = {b.name: measure(b, sets) for b in (mean_predictor(sets["train"]), linear)}
    described = {role: {"samples": len(fields), "checksum": fields.checksum} for role, fields in sets.items()}
    with atomic(options.output) as temporary:
        temporary.write_text(json.dumps({"baselines": measured, "data": described}, indent=2, sort_keys=True) + "\n")
    for statistics in measured.values():
        print(f"{statistics['description']}: test error {statistics['test_mean']:.2e}")
    return 0


def measure(baseline: Baseline, sets: dict[str, FieldSet]) -> dict:
    """Mean and standard deviation over samples of the errors on training and test set."""
    statistics = {"description": baseline.description}
    for role in ("train", "test"):
        errors = relative_errors(baseline.predict, sets[role])
        statistics |= {f"{role}_mean": float(errors.mean()), f"{role}_std": float(errors.std())}
    return statistics


if __name__ == "__main__":
    command.run(main)
