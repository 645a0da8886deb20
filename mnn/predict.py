"""Apply a trained model to a file of fields: ``python -m mnn.predict MODEL INPUT.nc -o OUTPUT.nc``."""

import sys
from argparse import Namespace
from collections.abc import Sequence

import numpy as np

from mnn import command


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Apply a trained model to the fields of a netCDF file, a chunk at a time, so that memory stays bounded.",
        "python -m mnn.predict model.safetensors fields.nc -o predictions.nc",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="safetensors file written by mnn.train")
    add("input", metavar="INPUT", help="netCDF file with a variable (sample, *axes)")
    add("-o", "--output", required=True, metavar="OUTPUT", help="netCDF file to write")
    add("--variable", help="name of the input variable; default: the one the model was trained on")
    add("--chunk", type=int, default=4096, metavar="SAMPLES", help="samples held in memory; default: 4096")
    command.add_member(parser)
    command.add_device(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict and write."""
    options = parse(arguments)
    if options.chunk < 1:
        raise ValueError(f"chunk: {options.chunk} given, at least 1 allowed")
    device = command.device(options.device, options.threads)

    import netCDF4

    from mnn.surrogate import load
    from solvers.files import atomic

    surrogate = load(options.model, device)
    member = command.member(options.member, surrogate.members)
    try:
        source = netCDF4.Dataset(options.input)
    except OSError as error:
        raise ValueError(f"{options.input}: not a readable netCDF file ({error.strerror or error})") from None
    with source:
        source.set_auto_mask(False)
        variable = find_variable(source, options, surrogate)
        with atomic(options.output) as temporary, netCDF4.Dataset(temporary, "w") as target:
            output = create(target, source, variable, surrogate, options)
            copy(surrogate, variable, output, member, options.chunk)
            done = f"{options.output}: {len(variable)} fields of {output.name}"
    print(done)
    return 0


def find_variable(source, options: Namespace, surrogate):
    """Return the input variable, or raise a one-line ValueError if it is absent or on another grid."""
    from mnn import data

    name = options.variable or surrogate.grid["input"]["name"]
    if name not in source.variables:
        raise ValueError(f"{options.input}: no variable {name!r}; there is {', '.join(source.variables) or 'none'}")
    variable = source[name]
    axes = variable.dimensions[1:]
    points = {axis: np.asarray(source[axis][:]) for axis in axes if axis in source.variables}
    if not data.same_grid(surrogate.grid, variable.shape[1:], points):
        raise ValueError(
            f"{options.input}: {name} has shape {variable.shape}, trained on {data.describe_grid(surrogate.grid)}"
        )
    return variable


def create(target, source, variable, surrogate, options: Namespace):
    """Lay out the output file and return its variable."""
    for dimension, size in zip(variable.dimensions, variable.shape, strict=True):
        target.createDimension(dimension, size)
        if dimension in source.variables:
            own = source[dimension]
            copied = target.createVariable(dimension, own.dtype, own.dimensions)
            copied.setncatts({key: own.getncattr(key) for key in own.ncattrs() if key != "_FillValue"})
            copied[:] = own[:]
    described = surrogate.grid["output"]
    output = target.createVariable(described["name"], variable.dtype, variable.dimensions, fill_value=False)
    output.setncatts({"long_name": described["long_name"], "units": described["units"]})
    target.title = f"{described['long_name']} predicted from {variable.name} by {options.model}"
    return output


def copy(surrogate, variable, output, member, chunk: int) -> None:
    """Predict chunk by chunk, with a progress bar on a terminal."""
    from tqdm import tqdm

    total = len(variable)
    with tqdm(total=total, unit="field", disable=not sys.stderr.isatty()) as bar:
        for start in range(0, total, chunk):
            rows = slice(start, min(start + chunk, total))
            output[rows] = surrogate(np.asarray(variable[rows]), member)
            bar.update(rows.stop - rows.start)


if __name__ == "__main__":
    command.run(main)
