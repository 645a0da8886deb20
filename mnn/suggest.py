"""A network for data of one's own: levels from the grid; padding and sharing of weights measured on the samples.

Free of torch. ``python -m solvers.check FILE`` prints what `suggest` finds.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnn import baselines, data, linear
from mnn.data import FieldSet
from mnn.spec import NetworkSpec

SAMPLES, POINTS = 1000, 2**24
"""Samples looked at, the first ones, and the most grid points of all of them together."""
FEWEST = 40
"""Samples needed to tell whether a map is translation invariant."""
BOX = 5
"""Points m along an axis of a box that the paper takes; the number of levels that comes nearest is suggested."""
WIDEST = 12
"""Boxes wider than this leave most of the map to the adjacent part."""
SEAM = 2.0
"""Fields that bend at the seam more than this many times as much as anywhere inside are not periodic."""
GAIN = 0.8
"""Where letting the map depend on position leaves less than this part of the error, it does depend on position."""


def suggest(path: str | Path, variables: tuple[str | None, str | None] = (None, None)) -> list[str]:
    """Suggest a network for the data of a file.

    Parameters
    ----------
    path : path
        A netCDF file that honours the data format.
    variables : (str, str)
        Names of the input and the output variable, where the file does not tell.

    Returns
    -------
    list of str
        A line each on the grid, whether the data are periodic, whether the map is translation invariant, and the
        network, as it can stand in ``config.yaml``.
    """
    from solvers import dataset

    shard = dataset.inspect(path, *variables)
    count = min(shard.count, SAMPLES, max(1, POINTS // math.prod(shard.shape)))
    return suggest_for(data.read([path], count, "samples", variables))


def suggest_for(fields: FieldSet) -> list[str]:
    """Suggest a network for samples in memory; see `suggest`."""
    levels, grid = _grid(fields.shape)
    periodic, seam = _periodic(fields)
    invariant, position = _invariant(fields, periodic)
    lines = [f"grid: {grid}", f"periodic: {seam}", f"translation invariant: {position}"]
    if levels is None:
        return [*lines, "network: none before the grid fits, see above"]
    layers, padding = "cnn" if periodic and invariant else "mix", "periodic" if periodic else "zero"
    spec = NetworkSpec(shape=fields.shape, levels=levels, rank=6, depth=5, layers=layers, padding=padding)
    keys = ("architecture", "layers", "padding", "levels", "rank", "depth")
    return [*lines, "network: {" + ", ".join(f"{key}: {getattr(spec, key)}" for key in keys) + "}"]


def levels_of(points: int) -> list[tuple[int, int]]:
    """All (L, m) with points = 2^L m, L >= 2 levels and boxes of m >= 2 points."""
    return [(L, points >> L) for L in range(2, points.bit_length()) if points % 2**L == 0 and points >> L >= 2]


def best_levels(points: int) -> tuple[int, int] | None:
    """The (L, m) whose boxes come nearest to those of the paper, None if no levels fit this many points."""
    return min(levels_of(points), key=lambda pair: abs(np.log(pair[1] / BOX)), default=None)


def nearest_points(points: int) -> int:
    """The number of points nearest to ``points``, and at least 8, that has boxes as wide as those of the paper."""
    box = 2 ** max(2, int(np.log2(max(points, 1) / 4)))
    return box * max(2, round(points / box))


def seam(field: np.ndarray) -> float:
    """How much fields bend at the seam, relative to the most anywhere: about 1 or less where they are periodic.

    Fields are continued periodically along every axis. Where that is not what they are, they jump or have a kink
    between their last point and their first, and their second difference there is large.

    Parameters
    ----------
    field : (samples, *shape) array

    Returns
    -------
    float
        The root mean square, over samples, of second differences at both ends of an axis over the largest inside;
        the worst axis.
    """
    worst, rounding = 0.0, np.finfo(np.float32).eps * np.abs(field).max() + np.finfo(float).tiny
    for axis in range(1, field.ndim):
        lines = np.moveaxis(field, axis, -1).astype(np.float64)
        bend = np.roll(lines, 1, -1) - 2 * lines + np.roll(lines, -1, -1)
        size = np.sqrt(np.square(bend).reshape(-1, lines.shape[-1]).mean(axis=0))
        at_seam, inside = max(size[0], size[-1]), size[1:-1].max(initial=0.0)
        worst = max(worst, at_seam / max(inside, rounding))
    return worst


def dependence_on_position(fields: FieldSet) -> tuple[float, float]:
    """Errors on one half of the samples of two maps fitted to the other half.

    Returns
    -------
    invariant : float
        Mean relative error of the best translation-invariant linear map.
    free : float
        The same, where the map's output may be scaled and shifted at every point of the grid by itself.
    """
    fitted, held = (_part(fields, slice(start, None, 2)) for start in (0, 1))
    invariant = linear.fit_invariant(fitted.input, fitted.output)
    guess, truth = invariant(fitted.input.astype(np.float64)), fitted.output.astype(np.float64)
    means = guess.mean(axis=0), truth.mean(axis=0)
    spread = np.square(guess - means[0]).mean(axis=0)
    scale = ((guess - means[0]) * (truth - means[1])).mean(axis=0) / np.maximum(spread, np.finfo(float).tiny)

    def free(inputs: np.ndarray) -> np.ndarray:
        return means[1] + scale * (invariant(inputs) - means[0])

    return tuple(float(baselines.relative_errors(predict, held).mean()) for predict in (invariant, free))


def _part(fields: FieldSet, rows: slice) -> FieldSet:
    return FieldSet(fields.input[rows], fields.output[rows], fields.grid, fields.checksum)


def _grid(shape: Sequence[int]) -> tuple[int | None, str]:
    """Levels to take, None if there are none, and a line on why."""
    points = max(shape)
    found, nearest = best_levels(points), nearest_points(points)
    levels, box = best_levels(nearest)
    other = f"interpolate to {nearest} = 2^{levels} x {box}"
    if len(set(shape)) > 1:
        text = " x ".join(map(str, shape))
        return None, f"{text} points, and the networks take as many along every axis: {other} on each"
    if found is None:
        return None, f"{points} points are not 2^L m with L >= 2 levels and boxes of m >= 2 points: {other}"
    pairs = ", ".join(str(pair) for pair in levels_of(points))
    text = f"{points} points = 2^L m with (L, m) = {pairs}; L = {found[0]} has boxes of m = {found[1]} points"
    return found[0], text + (
        f", which is wide: better {other}" if found[1] > WIDEST else f", nearest to the paper's {BOX}"
    )


def _periodic(fields: FieldSet) -> tuple[bool, str]:
    """Whether to take the data as periodic, and a line on why: what the file says counts more than what is measured."""
    ratio = max(seam(fields.input), seam(fields.output))
    measured, said = ratio <= SEAM, fields.grid.get("periodic")
    text = f"{_word(measured)}, measured: the fields bend {ratio:.2g} times as much across the ends as inside"
    if said in (None, measured):
        return measured, text
    return said, f"{_word(said)}, the file says (attribute periodic); but {text}"


def _invariant(fields: FieldSet, periodic: bool) -> tuple[bool, str]:
    """Whether the map commutes with translations of a periodic grid, and a line on why."""
    if not periodic:
        return False, "no, the ends of the grid tell positions apart"
    if len(fields) < FEWEST:
        return True, f"not measured on {len(fields)} samples, {FEWEST} are needed; taken as yes"
    invariant, free = dependence_on_position(fields)
    same = free > GAIN * invariant
    text = f"the best invariant linear map is off by {invariant:.2g}, rescaled point by point by {free:.2g}"
    return same, f"{_word(same)}, measured: {text}"


def _word(yes: bool) -> str:
    return "yes" if yes else "no"
