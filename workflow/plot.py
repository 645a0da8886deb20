"""Figures for a paper from the tables of the workflow: PDF, PNG and SVG of the same drawing."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt

from mnn import command
from workflow import plot_errors, plot_predictions, plot_speed

KINDS = {
    "error": plot_errors.error,
    "error_and_spread": plot_errors.error_and_spread,
    "min_and_median": plot_errors.min_and_median,
    "parameters": plot_errors.parameters,
    "cost": plot_errors.cost,
    "predictions": plot_predictions.predictions,
    "speed": plot_speed.speed,
}
UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
"""No dates in the files: the same table gives the same bytes."""


def save(figure: plt.Figure, outputs: list[str]) -> None:
    """Write a figure to files; the suffix says the format."""
    for output in outputs:
        suffix = Path(output).suffix[1:]
        figure.savefig(output, metadata=UNDATED[suffix])


def main(arguments=None):
    """Draw one figure."""
    parser = command.parser(
        "Draw a figure from its table, or from samples and predictions: PDF, PNG and SVG of one drawing.",
        'python -m workflow.plot --kind error --axis rank --title "Error" --input fig.csv --output fig.pdf',
    )
    parser.add_argument("--kind", required=True, choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--axis", required=True, help="swept axis of the table")
    parser.add_argument("--title", required=True, help="stands above the drawing")
    parser.add_argument("--input", required=True, nargs="+", help="table (CSV), or errors (netCDF) for predictions")
    parser.add_argument("--output", required=True, nargs="+", help="files to write: .pdf, .png, .svg")
    options = parser.parse_args(arguments)
    plt.style.use(Path(__file__).with_name("style.mplstyle"))
    figure = KINDS[options.kind](options.input, options.axis)
    figure.suptitle(options.title, fontsize=8)
    save(figure, options.output)


if __name__ == "__main__":
    command.run(main)
