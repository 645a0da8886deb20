"""Tables behind the figures: one row a network and seed, one row a reference line, as tidy CSV."""

import json

import pandas as pd
import xarray as xr

from mnn import command

COLUMNS = ["curve", "kind", "beside", "axis", "value", "seed", "n_train", "parameters", "relative_to"]
BASELINES = {"mean": "mean predictor", "linear": "best linear map", "fno": "Fourier neural operator"}
ERRORS = ["train_mean", "train_std", "test_mean", "test_std"]
PREFIXES = {"solution": "", "signal": "signal_"}
"""What errors are divided by -> what stands before "error" or the statistic in the names of the files."""


def network_rows(row: dict) -> list[dict]:
    """Mean and standard deviation over samples of the errors (4.1), one row a seed."""
    with xr.open_dataset(row["files"]["errors"]) as errors:
        errors = errors.isel(member=slice(row["seeds"]), test_sample=slice(row["n_test"]))
        prefix = PREFIXES[row["relative_to"]]
        statistics = {
            f"{split}_{name}": getattr(errors[f"{split}_{prefix}error"], name)(f"{split}_sample").values
            for split in ("train", "test")
            for name in ("mean", "std")
        }
        return [
            {
                "kind": "network",
                "seed": int(seed),
                "parameters": int(errors.attrs["parameters"]),
                "seconds": float(errors.attrs["training_seconds"]),
                **{name: float(values[i]) for name, values in statistics.items()},
            }
            for i, seed in enumerate(errors["member"].values)
        ]


def baseline_rows(row: dict) -> list[dict]:
    """The same statistics of the reference lines, which stand beside the curve of the same data set."""
    baselines = {}
    for name in {"baselines", "fno"} & row["files"].keys():
        with open(row["files"][name]) as file:
            baselines |= json.load(file)["baselines"]
    prefix = PREFIXES[row["relative_to"]]
    return [
        {"curve": curve, "kind": "baseline", "beside": row["label"], "parameters": baselines[name].get("parameters")}
        | {f"{s}_{m}": baselines[name][f"{s}_{prefix}{m}"] for s in ("train", "test") for m in ("mean", "std")}
        for name, curve in BASELINES.items()
        if name in baselines
    ]


def table(rows: list[dict], axis: str, timed: bool = False) -> pd.DataFrame:
    """The table of a figure from the files of its points; training times, which differ from run to run, if wanted."""
    place = ["value", "n_train", "relative_to"]
    records = [
        {"curve": row["label"], "axis": axis, **{k: row[k] for k in place}, **record}
        for row in rows
        for record in [*network_rows(row), *baseline_rows(row)]
    ]
    columns = [*COLUMNS, *ERRORS, *(["seconds"] if timed else [])]
    return (
        pd.DataFrame(records)
        .reindex(columns=columns)
        .astype({"seed": "Int64", "parameters": "Int64"})
        .drop_duplicates()
    )


def main(arguments=None):
    """Write the table of one figure."""
    parser = command.parser(
        "Make the table behind a figure: a row a network and seed, a row a reference line, as CSV.",
        """python -m workflow.tabulate --axis rank --rows '[{"label": "MNN-H²", "value": 2, "files": {...}}]' \\
    --output fig.csv""",
    )
    points = "points of the figure and their files"
    parser.add_argument("--axis", required=True, help="swept axis")
    parser.add_argument("--rows", required=True, type=json.loads, metavar="JSON", help=points)
    parser.add_argument("--timed", action="store_true", help="with the seconds each training took")
    parser.add_argument("--output", required=True, metavar="FILE", help="CSV file to write")
    options = parser.parse_args(arguments)
    table(options.rows, options.axis, options.timed).to_csv(options.output, index=False, float_format="%.9g")


if __name__ == "__main__":
    command.run(main)
