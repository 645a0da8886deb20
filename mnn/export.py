"""Write a trained model for other programs: ``python -m mnn.export MODEL -o OUTPUT.pt2`` or ``OUTPUT.onnx``."""

import logging
import warnings
from argparse import Namespace
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mnn import command

TOLERANCE = 1e-5
"""Largest difference between what was written and the model, relative to the largest value; float32 gives 1e-7."""


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Write a trained model as one graph, fields in physical units in and out, any batch size: .pt2 for programs\n"
        "with torch (torch.export), .onnx for others. What is written is run and compared with the model.",
        "python -m mnn.export model.safetensors -o model.pt2",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="safetensors file written by mnn.train")
    add("-o", "--output", required=True, metavar="OUTPUT", help="file to write; .pt2 or .onnx says what")
    command.add_member(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trace, write, compare."""
    options = parse(arguments)
    kind = Path(options.output).suffix
    if kind not in (".pt2", ".onnx"):
        raise ValueError(f"output: {options.output} given, a name that ends with .pt2 or .onnx allowed")
    if kind == ".onnx" and find_spec("onnxscript") is None:
        raise ValueError("output: .onnx given, which needs the packages of the extra: pip install 'mnn-h2[onnx]'")

    from mnn.surrogate import load
    from solvers.files import atomic

    surrogate = load(options.model)
    member = command.member(options.member, surrogate.members)
    with atomic(options.output) as temporary:
        named = temporary.with_suffix(kind)  # the writers go by the suffix
        try:
            difference = write(named, surrogate, member)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
    size = Path(options.output).stat().st_size
    print(f"{options.output}: {size / 1e6:.1f} MB, differs from the model by {difference:.1e} of the largest value")
    return 0


def write(path: Path, surrogate, member: int | str) -> float:
    """Write a file, run it, and return its largest difference from the surrogate, relative to the largest value.

    Raises
    ------
    ValueError
        If it differs by more than roundings.
    """
    from mnn import graph

    writer, run = (graph.write_onnx, graph.run_onnx) if path.suffix == ".onnx" else (graph.write_torch, graph.run_torch)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own exporters warn of their own future
        writer(path, graph.trace(surrogate, member), surrogate.grid)
        field = graph.probe(surrogate, 5)
        result, expected = run(path, field), surrogate(field, member)
    difference = float((result - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:
        raise ValueError(f"output: differs from the model by {difference:.1e}, at most {TOLERANCE:.0e} allowed")
    return difference


if __name__ == "__main__":
    command.run(main)
