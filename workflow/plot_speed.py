"""Drawing of how many samples a second networks and solvers have."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

BARS = {
    "network_per_second": "network",
    "fast_per_second": "fast solver",
    "straightforward_per_second": "straightforward solver",
}
INCHES = 0.42
"""Height of a curve's bars."""


def speed(tables: list[str], axis: str) -> plt.Figure:
    """Samples a second as bars, a group a curve, from the top down."""
    table = pd.read_csv(tables[0])
    figure, axes = plt.subplots(figsize=(3.5, 1.1 + INCHES * len(table)))
    places = np.arange(len(table))
    for i, (column, label) in enumerate(BARS.items()):
        axes.barh(places + (i - 1) * 0.26, table[column], height=0.24, color=f"C{i}", label=label)
    axes.set_yticks(places, table["curve"])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xscale("log")
    axes.set_xlabel("samples a second")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
