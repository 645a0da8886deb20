"""Make a shard of a data set from samples of a file of your own: ``python -m solvers.adopt FILE ... --output SHARD``.

The shard honours the data format to the letter, in the precision asked for and with a checksum, so that whatever
reads the shards that `solvers.generate` makes reads these. Exit code 2 and one line for a mistake on the command
line, 1 for a file that cannot be adopted; then there is no shard.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from solvers.command import Parser, one_line
from solvers.dataset import PRECISIONS, Block, DatasetError, Header, Shard, inspect
from solvers.problem import Quantity
from solvers.writer import Writer


def adopt(
    source: Shard, start: int, stop: int, output: Path, precision: str = "float32", attributes: dict | None = None
) -> None:
    """Write samples of a file as a shard; the index of a sample is its place in the file.

    Parameters
    ----------
    source : Shard
        The file, as `solvers.dataset.inspect` returns it.
    start, stop : int
        The samples ``start`` to ``stop`` - 1 of the file.
    output : path
    precision : {"float32", "float64"}
        In which the fields are stored.
    attributes : dict, optional
        Global attributes beside those of the source: ``periodic``, ``title``.

    Raises
    ------
    ValueError
        If the file does not hold the samples, or the precision is not allowed.
    DatasetError
        If a sample is not finite, or the shard cannot be written.
    """
    if not 0 <= start < stop <= source.count:
        raise ValueError(f"start, stop: {start}, {stop} given, 0 <= start < stop <= {source.count} allowed")
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} given, {' or '.join(map(repr, PRECISIONS))} allowed")
    with Writer(output, header(source, precision, attributes or {}), start, stop) as writer:
        for pair in source.blocks(stop=stop, start=start):
            fields = np.stack(pair, axis=1).astype(precision, copy=False)
            writer.write(Block(start, fields))
            start += len(fields)


def header(source: Shard, precision: str, attributes: dict) -> Header:
    """Header of the shards: names, units and grid of the source; where it has no coordinate, points are numbered."""
    names = [f"{role}_{part}" for role in ("input", "output") for part in ("variable", "long_name", "units")]
    texts = [str(source.attrs[name]) for name in names]
    given, wanted = (Quantity(name, name, long_name, units) for name, long_name, units in (texts[:3], texts[3:]))
    points = tuple(
        source.coordinates.get(axis, np.arange(count, dtype=np.float64))
        for axis, count in zip(source.axes, source.shape, strict=True)
    )
    kept = {name: source.attrs[name] for name in ("title", "equation", "periodic") if name in source.attrs}
    return Header(given, wanted, points, kept | {"source": str(source.path)} | attributes, (), precision, source.axes)


def main() -> int:
    """Run the command line."""
    try:
        options = _parser().parse_args()
        source = inspect(options.file, *options.variables)
        attributes = {} if options.title is None else {"title": options.title}
        if options.periodic is not None:
            attributes["periodic"] = np.int8(options.periodic)
        adopt(source, options.start, options.stop, options.output, options.precision, attributes)
    except ValueError as error:
        print(f"adopt: {one_line(error)}", file=sys.stderr)
        return 1 if isinstance(error, DatasetError) else 2
    print(f"{options.output}: samples {options.start} to {options.stop - 1} of {options.file}")
    return 0


def _parser() -> Parser:
    about = "Make a shard of a data set from samples of a netCDF file of your own."
    example = "python -m solvers.adopt mine.nc --variables load strain --stop 1000 --periodic --output train.nc"
    parser = Parser(about, example)
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="netCDF file with an input and an output variable (sample, *axes)")
    add(
        "--variables",
        nargs=2,
        default=(None, None),
        metavar=("INPUT", "OUTPUT"),
        help="names of the two fields, where the file's attributes input_variable and output_variable do not tell",
    )
    add("--start", type=int, default=0, metavar="SAMPLE", help="first sample, counted from 0 in the file; default: 0")
    add("--stop", type=int, required=True, metavar="SAMPLE", help="the sample after the last one")
    add("--precision", default="float32", help="precision of the stored fields: float32 (default) or float64")
    periodic = argparse.BooleanOptionalAction
    add("--periodic", action=periodic, help="whether the grid is periodic; default: what the file says, if it does")
    add("--title", help="title of the data set; default: the file's")
    add("--output", type=Path, required=True, metavar="SHARD", help="the netCDF-4 file to make")
    return parser


if __name__ == "__main__":
    sys.exit(main())
