"""Draw the figures of ``networks.md`` and ``h2matrix.md``: ``python docs/figures_networks.py`` from the project's root.

The cost figure reads ``docs/data/network_cost.csv``, which ``python -m benchmarks.networks --csv`` writes.
"""

import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch, Rectangle

from mnn.boxes import adjacent_pairs, band, box_points, interaction_pairs, neighbour_table
from mnn.describe import draw
from mnn.h2matrix import chebyshev_nodes, from_kernel, lagrange
from mnn.spec import NetworkSpec

HERE = Path(__file__).parent
COLOURS = ["#f2f2f2", "#c8553d", "#e9b44c", "#588b8b", "#2d5f8a"]
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "mnn", "font.size": 9, "axes.spines.top": False}


def partition() -> plt.Figure:
    """Boxes of levels 2 to 4 with one box's neighbours and interaction list, and the level that owns each block."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), width_ratios=(1.35, 1))
    for level in (2, 3, 4):
        box = 5 * 2**level // 16
        interacting = {j for i, j in interaction_pairs(level, 1, True) if i == box}
        near = {j for i, j in adjacent_pairs(level, 1, True) if i == box}
        for j in range(2**level):
            colour = (
                COLOURS[4] if j == box else COLOURS[2] if j in near else COLOURS[1] if j in interacting else "white"
            )
            left.add_patch(Rectangle((j / 2**level, -level), 1 / 2**level, 0.6, facecolor=colour, edgecolor="#333"))
        left.text(-0.02, -level + 0.3, f"level {level}", ha="right", va="center")
    left.set(xlim=(-0.16, 1.01), ylim=(-4.2, -1.2))
    left.axis("off")
    labels = zip(
        (COLOURS[4], COLOURS[2], COLOURS[1]), ("a box I", "neighbours NL(I)", "interaction list IL(I)"), strict=True
    )
    left.legend(
        handles=[Patch(facecolor=c, edgecolor="#333", label=t) for c, t in labels],
        ncols=3,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, -0.12),
    )
    _owners(right)
    return figure


def _owners(axes: plt.Axes) -> None:
    """Show the matrix cut into blocks by the level that holds them, (2.4) of the paper."""
    shape, levels = (64,), 4
    owner = np.zeros((64, 64))
    for level in range(2, levels + 1):
        points = box_points(shape, level)
        for i, j in interaction_pairs(level, 1, True):
            owner[np.ix_(points[i], points[j])] = level - 1
    axes.imshow(owner, cmap=ListedColormap(["#d9d9d9", COLOURS[1], COLOURS[2], COLOURS[3]]), interpolation="nearest")
    for k in range(1, 16):
        axes.axhline(4 * k - 0.5, color="white", lw=0.4)
        axes.axvline(4 * k - 0.5, color="white", lw=0.4)
    axes.set(title="$A = A^{(2)} + A^{(3)} + A^{(4)} + A^{(ad)}$", xticks=[], yticks=[])
    names = ("$A^{(ad)}$", "$A^{(2)}$", "$A^{(3)}$", "$A^{(4)}$")
    handles = [Patch(facecolor=c, label=n) for c, n in zip(("#d9d9d9", *COLOURS[1:4]), names, strict=True)]
    axes.legend(handles=handles, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def bands() -> plt.Figure:
    """What a kernel layer's window covers and what the interaction lists fill of it, on the circle."""
    figure, panels = plt.subplots(1, 4, figsize=(9.2, 3.1))
    for axes, level in zip(panels, (2, 3, 4, None), strict=True):
        width, shown = (1, 4) if level is None else (band(level), level)
        count = np.zeros((2**shown,) * 2)
        table = neighbour_table(shown, 1, width, periodic=True)
        count[np.arange(2**shown)[:, None], table] = 1
        pairs = adjacent_pairs(shown, 1, True) if level is None else interaction_pairs(level, 1, True)
        count[pairs[:, 0], pairs[:, 1]] = 2
        axes.imshow(
            count, cmap=ListedColormap(["white", "#d6dfe8", COLOURS[4]]), norm=BoundaryNorm([0, 0.5, 1.5, 3], 3)
        )
        name = "A^{(ad)}" if level is None else f"M^{{({level})}}"
        axes.set(title=f"${name}$: band {width}", xticks=np.arange(-0.5, 2**shown), yticks=np.arange(-0.5, 2**shown))
        axes.grid(color="#999", lw=0.4)
        axes.tick_params(length=0, labelbottom=False, labelleft=False)
    handles = [
        Patch(facecolor="#d6dfe8", label="in the window"),
        Patch(facecolor=COLOURS[4], label="filled by the matrix"),
    ]
    figure.legend(handles=handles, ncols=2, frameon=False, loc="lower center")
    return figure


def nested_bases() -> plt.Figure:
    """A box's polynomials, and one of them as its children write it: (2.6) of the paper."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 2.8), sharey=True)
    nodes, x = chebyshev_nodes(4), np.linspace(-1, 1, 201)
    values = lagrange(nodes, x)
    for k in range(4):
        left.plot(x, values[:, k], color=COLOURS[k + 1], lw=1.5)
    left.plot(nodes, np.ones(4), "k.")
    left.set(title="basis of a box, $r = 4$", xlabel="box")
    right.plot(x, values[:, 1], color="#bbbbbb", lw=5, label="a polynomial of the box")
    for side, colour in ((-0.5, COLOURS[1]), (0.5, COLOURS[4])):
        coefficients = lagrange(nodes, side + 0.5 * nodes)[:, 1]
        inside = np.abs(x - side) <= 0.5
        right.plot(x[inside], lagrange(nodes, 2 * (x[inside] - side)) @ coefficients, color=colour, lw=1.5)
        right.plot(
            side + 0.5 * nodes,
            coefficients,
            "o",
            color=colour,
            ms=4,
            label=f"column of $B$, {'left' if side < 0 else 'right'} child",
        )
    right.axvline(0, color="#333", lw=0.6)
    right.set(title="the same, from its children's bases", xlabel="box")
    right.legend(frameon=False, fontsize=7.5)
    return figure


def distance_kernels() -> dict:
    """Return the kernels of the error figure: name -> (kernel, shape, levels, ranks along an axis, periodic)."""

    def green(x, y, k=5.0):
        s = np.abs(x - y)
        return np.cosh(k * (0.5 - np.minimum(s, 1 - s))) / (2 * k * np.sinh(k / 2))

    def interval(x, y):
        return np.exp(-np.abs(x - y) * (1 + x * y)) / (1 + x + y / 2)

    def varying(x, y):
        return green(x, y) * np.exp(np.sin(2 * np.pi * x)) / (2 + np.cos(2 * np.pi * y))

    def torus(x, y):
        return np.exp(-3 * np.sqrt((np.sin(np.pi * (x - y)) ** 2).sum(axis=-1)))

    def square(x, y):
        return np.exp(-3 * np.sqrt(((x - y) ** 2).sum(axis=-1))) * (1 + x[..., 0] * y[..., 1])

    return {
        "circle, Green's function": (green, (320,), 6, range(2, 11), True),
        "circle, no convolution": (varying, (320,), 6, range(2, 11), True),
        "interval": (interval, (320,), 6, range(2, 11), False),
        "torus": (torus, (32, 32), 3, range(2, 6), True),
        "square": (square, (32, 32), 3, range(2, 6), False),
    }


def error() -> plt.Figure:
    """Relative error of the matrix in the Frobenius norm against the rank."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    for name, (kernel, shape, levels, nodes, periodic) in distance_kernels().items():
        grid = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
        x = grid[0] if len(shape) == 1 else np.stack(grid, axis=-1).reshape(-1, len(shape))
        exact = kernel(x[:, None], x[None])
        matrices = [from_kernel(kernel, shape, levels, p ** len(shape), periodic).to_dense() for p in nodes]
        errors = [np.linalg.norm(matrix - exact) / np.linalg.norm(exact) for matrix in matrices]
        axes.semilogy(nodes, errors, "o-" if len(shape) == 1 else "s--", ms=4, label=name)
    axes.set(xlabel="Chebyshev nodes an axis, $r^{1/d}$", ylabel="relative error")
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def cost() -> plt.Figure:
    """Operations, parameters, bytes and time against N."""
    with (HERE / "data" / "network_cost.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure, panels = plt.subplots(1, 4, figsize=(11, 3.3))
    for axes, what in zip(panels, ("operations", "parameters", "bytes", "seconds"), strict=True):
        for name in dict.fromkeys(row["network"] for row in rows):
            points, values = zip(
                *((int(r["points"]), float(r[what])) for r in rows if r["network"] == name), strict=True
            )
            axes.loglog(
                points, values, "k:" if name == "dense" else "o-", ms=2.5, lw=1.2, label=name.replace("H2", "H²")
            )
        axes.set(title="seconds, forward and backward" if what == "seconds" else what, xlabel="$N$")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), ncols=5, frameon=False, loc="lower center")
    return figure


FIGURES = {
    "h2_partition": (partition, 0.02),
    "h2_bands": (bands, 0.08),
    "h2_nested_bases": (nested_bases, 0.02),
    "h2_error": (error, 0.02),
    "network_cost": (cost, 0.1),
}
"""File name -> (function, share of the height left free for a legend below)."""


def main() -> None:
    """Write every figure to ``docs/images``."""
    images = HERE / "images"
    images.mkdir(exist_ok=True)
    for name, (make, below) in FIGURES.items():
        with plt.rc_context(STYLE):
            figure = make()
            figure.tight_layout(rect=(0, below, 1, 1))
            figure.savefig(images / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
    spec = NetworkSpec(shape=(320,), levels=6, rank=6, depth=5)
    (images / "mnn_h2.svg").write_text(draw(spec), encoding="utf-8")
    (images / "mnn_h.svg").write_text(
        draw(NetworkSpec(**{**spec.to_dict(), "architecture": "mnn-h"})), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
