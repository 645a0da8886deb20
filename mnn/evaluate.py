"""Measure a trained model: ``python -m mnn.evaluate``. Errors (4.1) of every member on every sample."""

import json
from argparse import Namespace
from collections.abc import Sequence

import numpy as np

from mnn import command

ROLES = ("train", "test")


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Measure the relative error (4.1) of a model on a training and a test set.",
        """python -m mnn.evaluate model.safetensors --train train_*.nc --n-train 5000 \\
    --test test.nc --output errors.nc --examples 3""",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="safetensors file written by mnn.train")
    command.add_sets(parser, *ROLES)
    add("--output", required=True, metavar="FILE", help="netCDF file to write")
    add("--examples", type=int, default=0, metavar="K", help="predictions to keep, from best to worst; default: 0")
    command.add_background(parser)
    command.add_device(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print the errors."""
    options = parse(arguments)
    if options.examples < 0:
        raise ValueError(f"examples: {options.examples} given, at least 0 allowed")
    device = command.device(options.device, options.threads)

    from mnn import data, evaluation, model_file, netcdf

    model = model_file.load(options.model)
    sets = data.read_sets(options, *ROLES, grid=model.grid)
    errors = {role: evaluation.relative_errors(model, fields, device) for role, fields in sets.items()}
    variables = error_variables(errors, model.record["seeds"])
    if options.background:
        background = data.background(options.background, model.grid, options.variables)
        factors = {role: data.over_signal(fields.output, background) for role, fields in sets.items()}
        signal = {role: (errors[role] * factors[role]).astype(np.float32) for role in errors}
        variables |= error_variables(signal, model.record["seeds"], "signal_", "relative to the signal u - u_0, ")
    if options.examples:
        found = evaluation.examples(model, sets["test"], errors["test"], options.examples, device)
        variables |= example_variables(found, model.grid)
    rate = evaluation.inference_rate(model, sets["test"], device)
    netcdf.write(options.output, variables, attributes(model, sets, rate))
    for role, values in errors.items():
        print(f"{role:5s} error, each member's mean: {', '.join(f'{mean:.2e}' for mean in values.mean(axis=1))}")
    return 0


def error_variables(errors: dict[str, np.ndarray], seeds: Sequence[int], prefix: str = "", what: str = "") -> dict:
    """Lay out errors, their means and standard deviations as netCDF variables."""
    from mnn.netcdf import Variable

    variables = {"member": Variable(("member",), np.array(seeds, np.int64), {"long_name": "seed of the member"})}
    for role, values in errors.items():
        wide = values.astype(np.float64)
        text = f"relative l2 error, {what or '(4.1) of the paper, '}on the {role} set"
        described = {"long_name": text, "units": "1"}
        variables[f"{role}_{prefix}error"] = Variable(("member", f"{role}_sample"), values, described)
        for name, statistic in (("mean", wide.mean(axis=1)), ("std", wide.std(axis=1))):
            attributes = {"long_name": f"{name} of the {text}", "units": "1"}
            variables[f"{role}_{prefix}error_{name}"] = Variable(("member",), statistic, attributes)
    return variables


def example_variables(found, grid: dict) -> dict:
    """Lay out chosen samples as netCDF variables."""
    from mnn.netcdf import Variable

    axes = tuple(grid["axes"]) or tuple("xyz"[: len(grid["shape"])])
    variables = {name: Variable((name,), np.array(points)) for name, points in grid["axes"].items()}
    text = "place in the test set, ordered by the median error over members"
    variables["example"] = Variable(("example",), found.index.astype(np.int64), {"long_name": text})
    fields = {"input": ((), found.input), "target": ((), found.target), "prediction": (("member",), found.prediction)}
    for name, (lead, values) in fields.items():
        side = grid["input" if name == "input" else "output"]
        described = {"long_name": f"{side['long_name']} ({name})", "units": side["units"], "variable": side["name"]}
        variables[f"example_{name}"] = Variable((*lead, "example", *axes), values, described)
    return variables


def attributes(model, sets: dict, rate: float) -> dict:
    """Record what was measured, and how fast."""
    from mnn.parameters import count_parameters

    record, linear = model.record, model.normalisation.linear
    return {
        "title": f"errors of {model.network.spec.architecture} for {model.grid['output']['long_name']}",
        "network": model.network.spec.to_json(),
        "parameters": count_parameters(model.network) + (linear.parameters if linear else 0),
        "recipe": json.dumps(record["recipe"], sort_keys=True),
        "epochs": record["epochs"],
        "batch_size": record["batch_size"],
        "model_train_checksum": record["data"]["train"]["checksum"],
        "train_checksum": sets["train"].checksum,
        "test_checksum": sets["test"].checksum,
        "training_seconds": record["seconds"],
        "training_samples_per_second": record["samples_per_second"],
        "inference_samples_per_second": round(rate, 1),
    }


if __name__ == "__main__":
    command.run(main)
