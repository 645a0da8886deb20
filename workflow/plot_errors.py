"""Drawings of error tables: against a swept axis, with the spread over seeds and the reference lines."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter

AXIS_LABELS = {
    "n_train": r"training samples $N_\mathrm{samples}^\mathrm{train}$",
    "rank": r"channels $r$",
    "depth": r"kernel layers $K$",
    "wells": r"Gaussian wells $n_g$",
    "electrons": r"electrons $n_e$",
}
REFERENCE_STYLES = {"mean": "--", "linear": ":"}
SPLIT_STYLES = {"train": {"linestyle": "--", "marker": "o", "fillstyle": "none"}, "test": {"marker": "s"}}


def error(tables: list[str], axis: str) -> plt.Figure:
    """Training and test error against the axis; bars span the least to the largest over seeds."""
    table = pd.read_csv(tables[0])
    figure, axes = plt.subplots()
    networks = _networks(table)
    for colour, (curve, rows) in enumerate(networks.groupby("curve", sort=False)):
        for split in ("train", "test"):
            name = rf"$\epsilon_\mathrm{{{split}}}$" + (f", {curve}" if networks["curve"].nunique() > 1 else "")
            _draw_over_seeds(axes, rows, f"{split}_mean", f"C{colour}", label=name, **SPLIT_STYLES[split])
    _references(axes, table)
    return _finish(figure, axes, axis, r"relative error $\epsilon$")


def error_and_spread(tables: list[str], axis: str) -> plt.Figure:
    """Mean error on the left axis, its standard deviation over the samples on the right."""
    table = pd.read_csv(tables[0])
    figure, axes = plt.subplots()
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.grid(False)
    rows = _networks(table)
    for split in ("train", "test"):
        style = SPLIT_STYLES[split]
        _draw_over_seeds(axes, rows, f"{split}_mean", "C0", label=rf"$\epsilon_\mathrm{{{split}}}$", **style)
        _draw_over_seeds(right, rows, f"{split}_std", "C1", label=rf"$\sigma_\mathrm{{{split}}}$", **style)
    _references(axes, table)
    right.set_yscale("log")
    right.set_ylabel(r"standard deviation $\sigma$", color="C1")
    handles = axes.get_legend_handles_labels(), right.get_legend_handles_labels()
    return _finish(
        figure, axes, axis, r"mean relative error $\epsilon$", [a + b for a, b in zip(*handles, strict=True)]
    )


def min_and_median(tables: list[str], axis: str) -> plt.Figure:
    """Test error of the seed whose training error is the least, and of the one whose training error is the median."""
    table = pd.read_csv(tables[0])
    figure, axes = plt.subplots()
    for colour, (curve, rows) in enumerate(_networks(table).groupby("curve", sort=False)):
        chosen = rows.groupby("value")[["train_mean", "test_mean"]].apply(_by_training_error)
        for name, style in (("min", SPLIT_STYLES["test"]), ("median", SPLIT_STYLES["train"])):
            axes.plot(chosen.index, chosen[name], color=f"C{colour}", label=f"{curve}, {name}", **style)
    _references(axes, table)
    return _finish(figure, axes, axis, r"test error $\epsilon_\mathrm{test}$")


def parameters(tables: list[str], axis: str) -> plt.Figure:
    """Sizes of the networks against the axis."""
    figure, axes = plt.subplots()
    for curve, rows in _networks(pd.read_csv(tables[0])).groupby("curve", sort=False):
        sizes = rows.groupby("value")["parameters"].first()
        axes.plot(sizes.index, sizes.values, marker="s", label=curve)
    axes.set_ylim(bottom=0)
    return _finish(figure, axes, axis, r"parameters $N_\mathrm{params}$", log=False)


def _networks(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == "network"]


def _by_training_error(rows: pd.DataFrame) -> pd.Series:
    ordered = rows.sort_values("train_mean")["test_mean"].to_numpy()
    return pd.Series({"min": ordered[0], "median": ordered[(len(ordered) - 1) // 2]})


def _draw_over_seeds(axes, rows: pd.DataFrame, column: str, colour: str, **style) -> None:
    seeds = rows.groupby("value")[column].agg(["mean", "min", "max"])
    bars = [seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]]
    axes.errorbar(seeds.index, seeds["mean"], yerr=bars, color=colour, elinewidth=0.8, **style)


def _references(axes, table: pd.DataFrame) -> None:
    """Test errors of the reference lines, one line each through all values of the axis."""
    baselines = table[table["kind"] == "baseline"]
    for curve, rows in baselines.groupby("curve", sort=False):
        values = rows.groupby("value")["test_mean"].first()
        style = next((s for key, s in REFERENCE_STYLES.items() if key in curve), "-.")
        axes.plot(values.index, values.values, color="0.45", linestyle=style, linewidth=0.9, label=curve)


def _finish(figure, axes, axis: str, ylabel: str, legend=None, log: bool = True) -> plt.Figure:
    axes.set_xlabel(AXIS_LABELS[axis])
    axes.set_ylabel(ylabel)
    if log:
        axes.set_yscale("log")
    values = sorted({x for line in axes.lines for x in line.get_xdata()})
    if axis == "n_train":
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(LogLocator(subs=[]))
    axes.set_xticks(values, [f"{value:g}" for value in values])
    figure.legend(*(legend or axes.get_legend_handles_labels()), loc="outside lower center", ncols=2)
    return figure
