"""Drawings of predictions beside the truth: the best, the median and the worst sample of a test set."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

NAMES = {1: ["worst"], 2: ["best", "worst"], 3: ["best", "median", "worst"]}
MEMBER = 0
SYMBOLS = {
    "input": {"potential": "V", "mu_s": r"\mu_s"},
    "target": {"ground_state": "u_G", "u": "u", "density": r"\rho"},
}
"""Side of the map -> variable of a data set -> the paper's symbol; another variable goes by its name."""
SIZES = {1: (7.1, 4.2), 2: (7.1, 6.4)}


def predictions(files: list[str], axis: str) -> plt.Figure:
    """Draw samples as columns: input, output, its prediction and the pointwise error. One or two dimensions."""
    with xr.open_dataset(files[0]) as data:
        data = data.isel(member=MEMBER).load()
    dimension = data["example_input"].ndim - 1
    columns = data.sizes["example"]
    names = NAMES.get(columns) or [f"{100 * i // (columns - 1)} %" for i in range(columns)]
    labels, draw = {1: (_curve_labels, _draw_curves), 2: (_field_labels, _draw_fields)}[dimension]
    rows = labels(*(_symbol(data, side) for side in ("input", "target")))
    shared = {"sharex": True, "sharey": "row" if dimension == 1 else True}
    figure, axes = plt.subplots(len(rows), columns, figsize=SIZES[dimension], squeeze=False, **shared)
    for column, name in enumerate(names):
        example = data.isel(example=column)
        error = float(data["test_error"][int(example["example"])])
        axes[0, column].set_title(rf"{name}, $\epsilon$ = {error:.1e}")
        draw(axes[:, column], example)
        axes[-1, column].set_xlabel("$x$" if dimension == 1 else "$x_1$")
    for side, label in zip(axes[:, 0], rows, strict=True):
        side.set_ylabel(label)
    if dimension == 1:
        figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    else:
        figure.set_layout_engine("compressed")
    return figure


def _symbol(data: xr.Dataset, side: str) -> str:
    name = data[f"example_{side}"].attrs["variable"]
    return SYMBOLS[side].get(name) or rf"\mathrm{{{name.replace('_', ' ')}}}".replace(" ", r"\ ")


def _curve_labels(source: str, target: str) -> list[str]:
    return [f"${source}$", f"${target}$", rf"${target}^\mathrm{{NN}} - {target}$"]


def _field_labels(source: str, target: str) -> list[str]:
    network = rf"{target}^\mathrm{{NN}}"
    return [f"{text}\n$x_2$" for text in (f"${source}$", f"${target}$", f"${network}$", f"${network} - {target}$")]


def _draw_curves(axes, example: xr.Dataset) -> None:
    x = example[example["example_target"].dims[0]]
    target, prediction = example["example_target"], example["example_prediction"]
    axes[0].plot(x, example["example_input"], color="0.2")
    axes[1].plot(x, target, color="C0", linewidth=2.4, alpha=0.45, label="solver")
    axes[1].plot(x, prediction, color="C1", linewidth=0.9, label="network")
    axes[2].plot(x, prediction - target, color="C1", linewidth=0.9)


def _draw_fields(axes, example: xr.Dataset) -> None:
    target, prediction = example["example_target"], example["example_prediction"]
    error = prediction - target
    largest = float(np.abs(error).max())
    shared = {"cmap": "cividis", "vmin": float(target.min()), "vmax": float(target.max())}
    styles = ({"cmap": "cividis"}, shared, shared, {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest})
    fields = (example["example_input"], target, prediction, error)
    x, y = (example[name] for name in target.dims)
    for axis, field, style in zip(axes, fields, styles, strict=True):
        image = axis.pcolormesh(x, y, field.T, shading="nearest", rasterized=True, **style)
        bar = axis.figure.colorbar(image, ax=axis, fraction=0.05, ticks=MaxNLocator(4))
        bar.formatter.set_powerlimits((-2, 3))
        axis.set_aspect("equal")
        axis.xaxis.set_major_locator(MaxNLocator(2))
        axis.yaxis.set_major_locator(MaxNLocator(2))
        axis.grid(False)
