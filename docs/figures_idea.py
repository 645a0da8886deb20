"""Draw the figures of ``idea.md``: ``python docs/figures_idea.py`` from the project's root."""

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

IMAGES = Path(__file__).parent / "images"
NEAR, FAR, BOX = "#e9b44c", "#c8553d", "#2d5f8a"
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "mnn", "font.size": 9, "axes.spines.top": False}
LEVELS = (4, 3, 2)
ARROW = {"arrowstyle": "-|>", "shrinkA": 3, "shrinkB": 3, "lw": 1.1}


def near_and_far() -> plt.Figure:
    """Show a matrix with a block on its diagonal and one away from it, and the singular values of both."""
    points = np.arange(320) / 320
    distance = np.sin(np.pi * (points[:, None] - points)) / np.pi
    matrix = (1 + 0.3 * np.sin(2 * np.pi * points)) / np.sqrt(distance**2 + 1e-4)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.1), width_ratios=(1, 1.35))
    left.imshow(np.log(matrix[::4, ::4]), cmap="Greys", extent=(0, 1, 1, 0))
    for name, colour, (row, column) in (("near", NEAR, (2, 2)), ("far", FAR, (2, 5))):
        left.add_patch(Rectangle((column / 8, row / 8), 1 / 8, 1 / 8, facecolor="none", edgecolor=colour, lw=2.5))
        block = matrix[row * 40 : row * 40 + 40, column * 40 : column * 40 + 40]
        values = np.linalg.svd(block, compute_uv=False)
        right.semilogy(np.arange(1, 41), values / values[0], "o-", color=colour, ms=3, label=f"{name} block")
    left.set(title="the matrix: who feels whom", xlabel="point that acts", ylabel="point that feels")
    left.set(xticks=[], yticks=[])
    right.set(title="singular values of the blocks, 40 x 40", xlabel="number", ylim=(1e-17, 3))
    right.legend(frameon=False)
    right.grid(alpha=0.3)
    return figure


def up_across_down() -> plt.Figure:
    """Draw the fast multipole method's tree twice, going up and coming down, and what its arrows are called."""
    figure, axes = plt.subplots(figsize=(8.4, 4.6))
    axes.set(xlim=(-1, 40), ylim=(-2.6, 9.6))
    axes.axis("off")
    up, down = (_tree(axes, offset) for offset in (0, 23))
    for level in LEVELS:
        if level > 2:
            for box in range(2**level):
                _arrow(axes, up[level, box], up[level - 1, box // 2], BOX)
                _arrow(axes, down[level - 1, box // 2], down[level, box], BOX)
        right, left = up[level, 2**level - 1], down[level, 0]
        _arrow(axes, (right[0] + 0.4, right[1]), (left[0] - 0.4, left[1]), FAR)
        axes.text(19.5, right[1] + 0.2, f"kernel, level {level}", color=FAR, ha="center")
    for trees in (up, down):
        axes.plot([trees[4, 0][0] - 0.5, trees[4, 15][0] + 0.5], [-1, -1], "k-", lw=0.8)
        axes.plot(np.linspace(trees[4, 0][0] - 0.45, trees[4, 15][0] + 0.45, 48), np.full(48, -1), "k.", ms=3)
        for box in range(16):
            x = trees[4, box][0]
            ends = ((x, -1), (x, 0)) if trees is up else ((x, 0), (x, -1))
            _arrow(axes, *ends, BOX)
    _arrow(axes, (16.2, -1), (22.2, -1), NEAR)
    axes.text(19.2, -0.8, "adjacent", color="#a87513", ha="center")
    for x, text in ((7.5, "field in: v"), (30.5, "field out: u")):
        axes.text(x, -2.1, text, ha="center")
    for x, text in ((7.5, "up: restriction"), (30.5, "down: interpolation")):
        axes.text(x, 8.9, text, ha="center", color=BOX)
    return figure


def _tree(axes: plt.Axes, offset: float) -> dict[tuple[int, int], tuple[float, float]]:
    """Draw the boxes of levels 2 to 4, each with its few numbers; return their centres."""
    centres = {}
    for level in LEVELS:
        width = 16 / 2**level
        for box in range(2**level):
            x, y = offset + (box + 0.5) * width - 0.5, 3.6 * (4 - level)
            centres[level, box] = x, y
            axes.add_patch(Rectangle((x - 0.34, y - 0.34), 0.68, 0.68, facecolor="#d6dfe8", edgecolor=BOX, lw=0.8))
    return centres


def _arrow(axes: plt.Axes, start: tuple[float, float], stop: tuple[float, float], colour: str) -> None:
    axes.annotate("", stop, start, arrowprops=ARROW | {"color": colour})


FIGURES = {"idea_near_far": near_and_far, "idea_up_across_down": up_across_down}


def main() -> None:
    """Write both figures to ``docs/images``."""
    for name, make in FIGURES.items():
        with plt.rc_context(STYLE):
            figure = make()
            figure.tight_layout()
            figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


if __name__ == "__main__":
    main()
