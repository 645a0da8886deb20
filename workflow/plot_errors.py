"""Drawings of error tables: against a swept axis, with the spread over seeds and the reference lines."""

from math import ceil

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

AXIS_LABELS = {
    "n_train": r"training samples $N_\mathrm{samples}^\mathrm{train}$",
    "rank": r"channels $r$",
    "depth": r"kernel layers $K$",
    "wells": r"Gaussian wells $n_g$",
    "electrons": r"electrons $n_e$",
    "parameters": r"parameters $N_\mathrm{params}$",
    "seconds": "training time of all seeds together, s",
}
ERROR_LABELS = {
    "solution": r"relative error $\epsilon$",
    "signal": r"$\|u - u_\mathrm{NN}\|\, /\, \|u - u_0\|$",
}
TEST_LABELS = {"solution": r"test error $\epsilon_\mathrm{test}$", "signal": ERROR_LABELS["signal"] + ", test"}
REFERENCE_STYLES = {"mean": "--", "linear": ":"}
REFERENCE_COLOUR = "0.45"
MARKERS = "s^Dvo"
FULL = {"linestyle": "-", "fillstyle": "full"}
DASHED = {"linestyle": "--", "fillstyle": "none"}
SPLIT_STYLES = {"train": DASHED, "test": FULL}
SPLIT_LABELS = {split: rf"$\epsilon_\mathrm{{{split}}}$" for split in SPLIT_STYLES}
CHOSEN_STYLES = {"min": FULL, "median": DASHED}
HEIGHT, ROW = 2.25, 0.17
"""Inches of a figure without its legend and of a row of the legend."""


def error(tables: list[str], axis: str) -> plt.Figure:
    """Training and test error against the axis; bars span the least to the largest over seeds."""
    table = pd.read_csv(tables[0])
    figure, axes = plt.subplots()
    curves = _curves(table)
    for curve, rows, look in curves:
        for split, style in SPLIT_STYLES.items():
            label = SPLIT_LABELS[split] if len(curves) == 1 else curve if split == "test" else None
            _draw_over_seeds(axes, rows, f"{split}_mean", label=label, **look, **style)
    _references(axes, table)
    _finish(axes, axis, ERROR_LABELS[table["relative_to"].iloc[0]])
    keys = {SPLIT_LABELS[split]: style for split, style in SPLIT_STYLES.items()}
    return _legend(figure, [axes], keys if len(curves) > 1 else {})


def error_and_spread(tables: list[str], axis: str) -> plt.Figure:
    """Mean error on the left axis, its standard deviation over the samples on the right; a panel a curve."""
    table = pd.read_csv(tables[0])
    curves = _curves(table)
    figure, panels = plt.subplots(1, len(curves), figsize=(3.5 * len(curves), 2.6), squeeze=False)
    sides = []
    for axes, (curve, rows, _) in zip(panels[0], curves, strict=True):
        right = _spread(axes, rows)
        _references(axes, table)
        _finish(axes, axis, "mean " + ERROR_LABELS[table["relative_to"].iloc[0]])
        axes.set_title(curve if len(curves) > 1 else "")
        sides += [axes, right]
    logarithmic = [side for side in sides if side.get_yscale() == "log"]
    low, high = zip(*(side.get_ylim() for side in logarithmic), strict=True)
    for side in logarithmic:
        side.set_ylim(min(low), max(high))
    return _legend(figure, sides[:2], columns=2 * len(curves))


def _spread(axes, rows: pd.DataFrame):
    """Draw mean errors, and standard deviations on another axis at the right."""
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.grid(False)
    for split, style in SPLIT_STYLES.items():
        _draw_over_seeds(axes, rows, f"{split}_mean", color="C0", marker="s", label=SPLIT_LABELS[split], **style)
        name = rf"$\sigma_\mathrm{{{split}}}$"
        _draw_over_seeds(right, rows, f"{split}_std", color="C1", marker="^", label=name, **style)
    if (rows[["train_std", "test_std"]] > 0).any(axis=None):
        right.set_yscale("log")
    right.set_ylabel(r"standard deviation $\sigma$", color="C1")
    return right


def min_and_median(tables: list[str], axis: str) -> plt.Figure:
    """Test error of the seed whose training error is the least, and of the one whose training error is the median."""
    table = pd.read_csv(tables[0])
    figure, axes = plt.subplots()
    for curve, rows, look in _curves(table):
        chosen = rows.groupby("value")[["train_mean", "test_mean"]].apply(_by_training_error)
        for name, style in CHOSEN_STYLES.items():
            axes.plot(chosen.index, chosen[name], label=curve if name == "min" else None, **look, **style)
    _references(axes, table)
    _finish(axes, axis, TEST_LABELS[table["relative_to"].iloc[0]])
    return _legend(figure, [axes], CHOSEN_STYLES)


def parameters(tables: list[str], axis: str) -> plt.Figure:
    """Sizes of the networks against the axis."""
    figure, axes = plt.subplots()
    for curve, rows, look in _curves(pd.read_csv(tables[0])):
        sizes = rows.groupby("value")["parameters"].first()
        axes.plot(sizes.index, sizes.values, label=curve, **look)
    axes.set_ylim(bottom=0)
    _finish(axes, axis, AXIS_LABELS["parameters"], log=False)
    return _legend(figure, [axes])


def cost(tables: list[str], axis: str) -> plt.Figure:
    """Test error against the number of parameters and against the training time; a line a curve, a mark a value."""
    table = pd.read_csv(tables[0])
    figure, panels = plt.subplots(1, 2, figsize=(7.1, 2.6), sharey=True)
    for panel, column in zip(panels, ("parameters", "seconds"), strict=True):
        for curve, rows, look in _curves(table):
            points = rows.groupby("value")[[column, "test_mean"]].mean().sort_values(column)
            panel.plot(points[column], points["test_mean"], label=curve, **look)
        for line, style in _reference_lines(table):
            panel.axhline(min(line.values()), **style)
        panel.set_yscale("log")
        panel.set_xlabel(AXIS_LABELS[column])
        _ticks_in_plain_numbers(panel)
    panels[0].set_ylabel(TEST_LABELS[table["relative_to"].iloc[0]])
    return _legend(figure, panels[:1], columns=3)


def _curves(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict]]:
    """Name, rows and look of every curve of networks."""
    groups = table[table["kind"] == "network"].groupby("curve", sort=False)
    return [
        (curve, rows, {"color": f"C{i}", "marker": MARKERS[i % len(MARKERS)]}) for i, (curve, rows) in enumerate(groups)
    ]


def _by_training_error(rows: pd.DataFrame) -> pd.Series:
    ordered = rows.sort_values("train_mean")["test_mean"].to_numpy()
    return pd.Series({"min": ordered[0], "median": ordered[(len(ordered) - 1) // 2]})


def _draw_over_seeds(axes, rows: pd.DataFrame, column: str, **style) -> None:
    seeds = rows.groupby("value")[column].agg(["mean", "min", "max"])
    bars = [seeds["mean"] - seeds["min"], seeds["max"] - seeds["mean"]]
    axes.errorbar(seeds.index, seeds["mean"], yerr=bars, elinewidth=0.8, **style)


def _reference_lines(table: pd.DataFrame) -> list[tuple[dict, dict]]:
    """Value of the axis -> test error, and the style, of every reference line.

    Curves of one data set share theirs, in grey; lines of several data sets have the colours of their curves.
    """
    colours = {curve: look["color"] for curve, _, look in _curves(table)}
    found = []
    for name, rows in table[table["kind"] == "baseline"].groupby("curve", sort=False):
        lines = {c: dict(zip(r["value"], r["test_mean"], strict=True)) for c, r in rows.groupby("beside", sort=False)}
        distinct = {}
        for curve in sorted(lines, key=lambda curve: -len(lines[curve])):
            if not any(lines[curve].items() <= other.items() for other in distinct.values()):
                distinct[curve] = lines[curve]
        style = next((style for key, style in REFERENCE_STYLES.items() if key in name), "-.")
        for curve, line in distinct.items():
            alone = {"label": name, "color": REFERENCE_COLOUR}
            beside = {"label": f"{name}, {curve}", "color": colours[curve]}
            found.append((line, {"linestyle": style, "linewidth": 0.9} | (alone if len(distinct) == 1 else beside)))
    return found


def _references(axes, table: pd.DataFrame) -> None:
    for line, style in _reference_lines(table):
        axes.plot(list(line), list(line.values()), **style)


def _finish(axes, axis: str, ylabel: str, log: bool = True) -> None:
    """Label the axes; ticks stand at the values of the axis alone."""
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


def _ticks_in_plain_numbers(axes) -> None:
    """Make the x axis logarithmic, its ticks written out; a narrow range has more of them."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 6 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, position: f"{x:,.0f}".replace(",", " "))


def _legend(figure, sides, keys: dict | None = None, columns: int = 2) -> plt.Figure:
    """Put the legend below: curves, then what filled and open marks mean, then the reference lines."""
    entries = [entry for side in sides for entry in zip(*side.get_legend_handles_labels(), strict=True)]
    entries += [(Line2D([], [], color="k", marker="s", **style), name) for name, style in (keys or {}).items()]
    entries.sort(key=lambda entry: isinstance(entry[0], Line2D) and entry[0].get_marker() == "None")
    figure.set_figheight(HEIGHT + ROW * ceil(len(entries) / columns))
    figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=columns)
    return figure
