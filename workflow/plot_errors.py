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
    "parameters": r"parameters $N_\mathrm{params}$",
    "seconds": "training time of all seeds together, s",
}
REFERENCE_STYLES = {"mean": "--", "linear": ":"}
REFERENCE_COLOUR = "0.45"
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
    _finish(figure, axes, axis, r"mean relative error $\epsilon$", others=[right])
    low, high = zip(axes.get_ylim(), right.get_ylim(), strict=True)
    for side in (axes, right):
        side.set_ylim(min(low), max(high))
    return figure


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
    return _finish(figure, axes, axis, AXIS_LABELS["parameters"], log=False)


def cost(tables: list[str], axis: str) -> plt.Figure:
    """Test error against the number of parameters and against the training time; a line a curve, a mark a value."""
    table = pd.read_csv(tables[0])
    figure, panels = plt.subplots(1, 2, figsize=(7.1, 2.6), sharey=True)
    for panel, column in zip(panels, ("parameters", "seconds"), strict=True):
        for curve, rows in _networks(table).groupby("curve", sort=False):
            points = rows.groupby("value")[[column, "test_mean"]].mean().sort_values(column)
            panel.plot(points[column], points["test_mean"], marker="s", label=curve)
        panel.set_xscale("log")
        panel.set_yscale("log")
    panels[0].set_xlabel(AXIS_LABELS["parameters"])
    panels[1].set_xlabel(AXIS_LABELS["seconds"])
    panels[0].set_ylabel(r"test error $\epsilon_\mathrm{test}$")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


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
    """Test errors of the reference lines through all values of the axis; curves of one data set share theirs."""
    baselines = table[table["kind"] == "baseline"]
    lines = {}
    for (curve, beside), rows in baselines.groupby(["curve", "beside"], sort=False):
        values = rows.groupby("value")["test_mean"].first()
        lines.setdefault((curve, *values), (values, beside))
    shared = len(lines) == baselines["curve"].nunique()
    for (curve, *_), (values, beside) in lines.items():
        style = next((s for key, s in REFERENCE_STYLES.items() if key in curve), "-.")
        label = curve if shared else f"{curve}, {beside}"
        axes.plot(values.index, values.values, color=REFERENCE_COLOUR, linestyle=style, linewidth=0.9, label=label)


def _finish(figure, axes, axis: str, ylabel: str, log: bool = True, others=()) -> plt.Figure:
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
    entries = [entry for side in (axes, *others) for entry in zip(*side.get_legend_handles_labels(), strict=True)]
    entries.sort(key=lambda entry: isinstance(entry[0], plt.Line2D) and entry[0].get_color() == REFERENCE_COLOUR)
    figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=2)
    return figure
