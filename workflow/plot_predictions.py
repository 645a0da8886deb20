"""Drawings of predictions beside the truth: the best, the median and the worst sample of a test set."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

NAMES = {1: ["worst"], 2: ["best", "worst"], 3: ["best", "median", "worst"]}
MEMBER = 0


def predictions(files: list[str], axis: str) -> plt.Figure:
    """Draw samples as columns: input, output with its prediction, and the pointwise error. One or two dimensions."""
    with xr.open_dataset(files[0]) as data:
        data = data.isel(member=MEMBER).load()
    dimension = data["example_input"].ndim - 1
    columns = data.sizes["example"]
    names = NAMES.get(columns) or [f"{100 * i // (columns - 1)} %" for i in range(columns)]
    figure, axes = plt.subplots(3, columns, figsize=(7.1, 4.2), sharex=True, sharey="row", squeeze=False)
    draw = {1: _draw_curves, 2: _draw_fields}[dimension]
    for column, name in enumerate(names):
        example = data.isel(example=column)
        error = float(data["test_error"][int(example["example"])])
        axes[0, column].set_title(rf"{name}, $\epsilon$ = {error:.1e}")
        draw(axes[:, column], example)
    _label(figure, axes, data, dimension)
    return figure


def _label(figure, axes, data: xr.Dataset, dimension: int) -> None:
    side = {name: data[f"example_{name}"].attrs["variable"].replace("_", " ") for name in ("input", "target")}
    for axis, text in zip(axes[:, 0], (side["input"], side["target"], "error"), strict=True):
        axis.set_ylabel(text if dimension == 1 else f"{text}\ny")
    for axis in axes[-1]:
        axis.set_xlabel("x")
    if dimension == 1:
        handles, labels = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)


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
    styles = ({"cmap": "cividis"}, {"cmap": "cividis"}, {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest})
    x, y = (example[name] for name in target.dims)
    for axis, field, style in zip(axes, (example["example_input"], target, error), styles, strict=True):
        image = axis.pcolormesh(x, y, field.T, shading="nearest", rasterized=True, **style)
        axis.figure.colorbar(image, ax=axis, fraction=0.05)
        axis.set_aspect("equal")
        axis.grid(False)
