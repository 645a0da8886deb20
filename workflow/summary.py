"""The first thing to look at after a run: the best errors of every curve beside the reference lines."""

import argparse
from pathlib import Path

import pandas as pd

from workflow.tabulate import BASELINES

HEADER = "| figure | curve | at | parameters | test error | spread over seeds | mean predictor | best linear map |"


def curve_rows(file: str) -> list[str]:
    """One line a curve of a table: its best point by the mean over seeds."""
    table = pd.read_csv(file)
    networks, baselines = (table[table["kind"] == kind] for kind in ("network", "baseline"))
    lines = []
    for curve, rows in networks.groupby("curve", sort=False):
        seeds = rows.groupby("value")["test_mean"].agg(["mean", "min", "max"])
        best = seeds["mean"].idxmin()
        size = rows.loc[rows["value"] == best, "parameters"].iloc[0]
        beside = baselines[(baselines["value"] == best) & (baselines["beside"] == curve)].set_index("curve")
        references = beside["test_mean"].reindex([BASELINES["mean"], BASELINES["linear"]])
        mean, low, high = seeds.loc[best]
        cells = [Path(file).stem, curve, f"{rows['axis'].iloc[0]} = {best}", f"{size:.0f}"]
        cells += [f"{mean:.1e}", f"{low:.1e} .. {high:.1e}", *(f"{value:.1e}" for value in references)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def summary(files: list[str], tier: str) -> str:
    """The summary as Markdown."""
    rows = [line for file in files for line in curve_rows(file)]
    rule = "|" + " --- |" * HEADER.count(" | ") + " --- |"
    text = ["# Results, tier " + tier, "", "Best point of every curve; errors are means over the test set.", ""]
    return "\n".join([*text, HEADER, rule, *rows]) + "\n"


def main(arguments=None):
    """Write the summary of all tables."""
    parser = argparse.ArgumentParser(prog="python -m workflow.summary", description=__doc__)
    parser.add_argument("tables", nargs="+", help="tables (CSV)")
    parser.add_argument("--tier", required=True)
    parser.add_argument("--output", required=True, help="Markdown file to write")
    options = parser.parse_args(arguments)
    Path(options.output).write_text(summary(options.tables, options.tier))


if __name__ == "__main__":
    main()
