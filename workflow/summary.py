"""The first thing to look at after a run: the best errors beside the reference lines; and the same on the screen."""

import json
from pathlib import Path

import pandas as pd

from mnn import command
from workflow.card import page
from workflow.config import DATA_AXES
from workflow.tabulate import BASELINES

COLUMNS = ["problem", "figure", "curve", "at", "relative to", "parameters", "test error", "least", "largest"]
REFERENCES = {BASELINES["linear"]: "linear map", BASELINES["mean"]: "mean"}
"""Curves of the tables -> columns of the screen."""
CAPTION = "Best point of every curve; errors are means over the test set and over seeds."
STAGES = {
    "solving": ("generate", "adopt", "check"),
    "training": ("train",),
    "measuring": ("evaluate", "baselines", "fno", "time_surrogates"),
    "drawing": ("tabulate", "plot", "card", "summary", "claims", "manifest"),
}
"""Kinds of work and their rules."""


def best_points(file: str, problem: str) -> list[dict]:
    """The best point of every curve of a table, by the mean over seeds, with the reference lines beside it."""
    table = pd.read_csv(file)
    networks, baselines = (table[table["kind"] == kind] for kind in ("network", "baseline"))
    points = []
    for curve, rows in networks.groupby("curve", sort=False):
        seeds = rows.groupby("value")["test_mean"].agg(["mean", "min", "max"])
        value = seeds["mean"].idxmin()
        size = int(rows.loc[rows["value"] == value, "parameters"].iloc[0])
        place = [
            problem,
            Path(file).stem,
            curve,
            f"{rows['axis'].iloc[0]} = {value}",
            rows["relative_to"].iloc[0],
            size,
        ]
        beside = baselines[(baselines["value"] == value) & (baselines["beside"] == curve)]
        references = dict(zip(beside["curve"], beside["test_mean"], strict=True))
        points.append(dict(zip(COLUMNS, [*place, *seeds.loc[value]], strict=True)) | references)
    return points


def without_repeats(points: pd.DataFrame) -> pd.DataFrame:
    """Join the points that several figures share, their figures named together."""
    same = [column for column in points.columns if column != "figure"]
    joined = points.groupby(same, sort=False, dropna=False)["figure"].agg(", ".join)
    return joined.reset_index()[points.columns]


def best_of_problems(points: pd.DataFrame) -> pd.DataFrame:
    """The best point of every problem, on the data set itself where that was measured, in the order of the figures."""
    points = points[points["relative to"] == "solution"]
    varied = points["at"].str.split().str[0].isin(DATA_AXES)
    points = points[~varied | ~points["problem"].isin(points["problem"][~varied])]
    best = points.groupby("problem", sort=False)["test error"].idxmin()
    return points.loc[best]


def texts(points: pd.DataFrame) -> pd.DataFrame:
    """Errors with two digits, sizes with thin groups, nothing where nothing was measured."""
    shown = points.copy()
    for column in shown.columns[shown.columns.get_loc("parameters") :]:
        form = "{:,.0f}" if column == "parameters" else "{:.1e}"
        shown[column] = [form.format(x).replace(",", " ") if pd.notna(x) else "" for x in shown[column]]
    return shown


def markdown(points: pd.DataFrame, tier: str) -> str:
    """The summary as Markdown."""
    head = f"# Results, tier {tier}\n\n{CAPTION}\n"
    lines = [list(points.columns), ["---"] * len(points.columns), *texts(points).to_numpy().tolist()]
    return "\n".join([head, *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def screen(folder: Path, seconds: float) -> str:
    """What a run leaves on the screen: best errors, claims, time taken, where to look.

    Parameters
    ----------
    folder : Path
        Results of a tier.
    seconds : float
        That the run took.
    """
    parts = [_where(folder)]
    csv = folder / "summary.csv"
    if csv.exists() and _newest(csv, points := pd.read_csv(csv)):
        parts = [_errors(points), _claims(folder / "claims.csv"), _work(folder, seconds), *parts]
    return "\n".join(parts)


def _newest(csv: Path, points: pd.DataFrame) -> bool:
    """Whether no table was made again since it was summed up."""
    tables = (csv.parent / f"tables/{name}.csv" for names in points["figure"] for name in names.split(", "))
    return all(table.stat().st_mtime <= csv.stat().st_mtime for table in tables if table.exists())


def _errors(points: pd.DataFrame) -> str:
    best = texts(best_of_problems(points)).rename(columns=REFERENCES)
    best["network"] = best["curve"] + ", " + best["at"]
    columns = ["problem", "network", "parameters", "test error", *REFERENCES.values()]
    rows = [columns, *best.reindex(columns=columns).fillna("").to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], ""])


def _claims(csv: Path) -> str:
    counts = pd.read_csv(csv)["verdict"].value_counts()
    return "claims   " + ", ".join(
        f"{counts.get(verdict, 0)} {verdict.replace('holds', 'hold').replace('does', 'do')}"
        for verdict in ("holds", "does not hold", "not measured")
    )


def _work(folder: Path, seconds: float) -> str:
    spent = {}
    for stage, rules in STAGES.items():
        records = [file for rule in rules for file in (folder / "benchmarks").glob(f"{rule}/**/*.tsv")]
        records += [file for rule in rules if (file := folder / f"benchmarks/{rule}.tsv").exists()]
        spent[stage] = sum(pd.read_csv(file, sep="\t")["s"].sum() for file in records)
    listed = ", ".join(f"{stage} {_duration(value)}" for stage, value in spent.items())
    return f"time     {_duration(seconds)} for this run; all jobs: {listed}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _where(folder: Path) -> str:
    return f"figures {folder}/figures   tables {folder}/tables   summary {folder}/summary.md"


def main(arguments=None):
    """Write the summary of all tables."""
    parser = command.parser(
        "Put the best point of every curve beside the reference lines.",
        """python -m workflow.summary fig09a.csv --tier quick --problems '{"fig09a": "NLSE"}' \\
    --output summary.md --csv summary.csv --html summary.html""",
    )
    parser.add_argument("tables", nargs="+", metavar="TABLE", help="tables of figures (CSV)")
    parser.add_argument("--tier", required=True, help="named in the heading")
    parser.add_argument("--problems", required=True, type=json.loads, metavar="JSON", help="figure -> problem")
    parser.add_argument("--output", required=True, metavar="FILE", help="Markdown file to write")
    parser.add_argument("--csv", required=True, metavar="FILE", help="the same as CSV")
    parser.add_argument("--html", required=True, metavar="FILE", help="the same as a page of the report")
    options = parser.parse_args(arguments)
    points = [point for file in options.tables for point in best_points(file, options.problems[Path(file).stem])]
    table = without_repeats(pd.DataFrame(points))
    table.to_csv(options.csv, index=False, float_format="%.4g")
    Path(options.output).write_text(markdown(table, options.tier))
    card = {"title": f"Results, tier {options.tier}", "caption": CAPTION, "table": options.csv}
    Path(options.html).write_text(page(card), encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
