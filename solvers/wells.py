"""Random fields made of Gaussian wells or bumps: (4.4), (4.11), (4.12) and (4.16) of the paper.

A field is a sum over wells i, and over periodic images where the domain is periodic, of

    sign * a_i * exp(-|x - c_i|^2 / (2 T)),

with strengths rho_i, centres c_i and one variance T a sample drawn uniformly. What is drawn is a pure function of
(seed, split, sample index): every split has a Philox key of its own and every sample a place of its own on that
stream's counter, so a range of samples is one bulk draw, and enlarging a range never changes a sample.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

from solvers.problem import Problem

SPLITS = ("train", "validation", "test")
AMPLITUDES = ("slab", "normalised", "plain")
METRICS = ("euclidean", "per_axis")
ATTEMPTS = 20_000
"""Sets of centres tried for a sample before a separation is declared out of reach."""

CUTOFF = math.sqrt(2 * math.log(1e16))
"""Distance, in standard deviations, at which a well has fallen to 1e-16 of its peak."""


def _check_range(key: str, value: tuple[float, float], positive: bool) -> tuple[float, float]:
    """Return ``value`` as two floats in order, or raise a one-line ValueError that names ``key``."""
    allowed = f"two {'positive ' if positive else ''}finite numbers [low, high] with low <= high allowed"
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        raise ValueError(f"{key}: {value!r} given, {allowed}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (positive and low <= 0):
        raise ValueError(f"{key}: {value!r} given, {allowed}")
    return low, high


@dataclass(frozen=True)
class Wells:
    """The law of a random field.

    Parameters
    ----------
    wells : int
        Number of wells, n_g (n_e for Kohn-Sham).
    strength, variance, centre : (float, float)
        Bounds of the uniform laws of rho (one a well), T (one a sample) and the centres (the same along every axis).
    amplitude : {"slab", "normalised", "plain"}
        Peak of a well: rho / sqrt(2 pi T) in every dimension, as printed in (4.4), (4.11) and (4.12);
        rho / (2 pi T)^(d/2), a normalised Gaussian; or rho, as in (4.16).
    sign : {-1, 1}
        -1 for wells, 1 for bumps.
    separation : float
        Smallest distance between two centres; 0 for none. Sets of centres are redrawn whole until they keep it.
    separation_metric : {"euclidean", "per_axis"}
        Whether the distance is the Euclidean one or each coordinate's; around the torus where the domain is periodic.
    minimum : float, optional
        If given, the field is shifted by a constant so that this is its smallest value on the grid.

    Raises
    ------
    ValueError
        If a value is not allowed; one line that names the key.
    """

    wells: int
    strength: tuple[float, float]
    variance: tuple[float, float]
    centre: tuple[float, float]
    amplitude: str = "slab"
    sign: int = -1
    separation: float = 0.0
    separation_metric: str = "euclidean"
    minimum: float | None = None

    def __post_init__(self):
        if isinstance(self.wells, bool) or not isinstance(self.wells, (int, np.integer)) or self.wells < 1:
            raise ValueError(f"wells: {self.wells!r} given, a positive integer allowed")
        for key in ("strength", "variance", "centre"):
            object.__setattr__(self, key, _check_range(key, getattr(self, key), positive=key == "variance"))
        for key, allowed in (("amplitude", AMPLITUDES), ("sign", (-1, 1)), ("separation_metric", METRICS)):
            if getattr(self, key) not in allowed:
                raise ValueError(f"{key}: {getattr(self, key)!r} given, {' or '.join(map(repr, allowed))} allowed")
        if not isinstance(self.separation, (int, float)) or not 0 <= self.separation < math.inf:
            raise ValueError(f"separation: {self.separation!r} given, a finite number of at least 0 allowed")
        if self.minimum is not None and not (isinstance(self.minimum, (int, float)) and math.isfinite(self.minimum)):
            raise ValueError(f"minimum: {self.minimum!r} given, a finite number or nothing allowed")

    def check_grid(self, problem: Problem) -> None:
        """Raise a one-line ValueError if the problem's grid is too coarse for the narrowest well."""
        width = math.sqrt(self.variance[0])
        for count in problem.shape:
            if problem.length / count > 2 * width:
                needed = math.ceil(problem.length / (2 * width))
                raise ValueError(
                    f"shape: {count} points along an axis given, too coarse for wells of variance "
                    f"{self.variance[0]:g}; at least {needed} allowed"
                )


@dataclass(frozen=True)
class Drawn:
    """Parameters drawn for n samples.

    Attributes
    ----------
    strength : (n, wells) float64
    centre : (n, wells, dimension) float64
    variance : (n,) float64
    """

    strength: np.ndarray
    centre: np.ndarray
    variance: np.ndarray


def draw(spec: Wells, problem: Problem, seed: int, split: str, start: int, stop: int) -> Drawn:
    """Draw the parameters of samples start..stop-1.

    Parameters
    ----------
    spec : Wells
    problem : Problem
        Gives the dimension and, for separations, the domain; its grid does not matter.
    seed : int
        Seed of the data set.
    split : {"train", "validation", "test"}
    start, stop : int
        Range of sample indices.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the separation cannot be kept.
    """
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} given, {' or '.join(map(repr, SPLITS))} allowed")
    if not 0 <= start <= stop:
        raise ValueError(f"start: samples {start} to {stop} given, 0 <= start <= stop allowed")
    if seed < 0:
        raise ValueError(f"seed: {seed} given, a non-negative integer allowed")
    key = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split),)).generate_state(2, np.uint64)
    uniform = _uniform(key, 0, spec.wells + 1, start, stop)
    return Drawn(
        strength=_scale(uniform[:, :-1], spec.strength),
        centre=_draw_centres(spec, problem, key, start, stop),
        variance=_scale(uniform[:, -1], spec.variance),
    )


def _scale(uniform: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform


def _uniform(key: np.ndarray, stream: int, count: int, start: int, stop: int) -> np.ndarray:
    """``count`` uniform numbers in [0, 1) for each of the samples start..stop-1, (stop - start, count).

    Philox gives four words a tick of its 256-bit counter: a sample owns ``stride`` ticks of the lower words, and the
    highest word holds the stream.
    """
    stride = -(-count // 4)
    first = start * stride
    counter = np.array([first % 2**64, first // 2**64, 0, stream], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw((stop - start) * stride * 4)
    return (words.reshape(stop - start, 4 * stride)[:, :count] >> np.uint64(11)) * 2.0**-53


def _draw_centres(spec: Wells, problem: Problem, key: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Centres, (n, wells, d): attempt after attempt, each a stream of its own, until all are far enough apart."""
    dimension = len(problem.shape)
    centre = np.empty((stop - start, spec.wells, dimension))
    pending = np.arange(stop - start)
    period = problem.length if problem.periodic else 0.0
    for attempt in range(ATTEMPTS):
        if not len(pending):
            return centre
        first, last = int(pending[0]), int(pending[-1]) + 1
        uniform = _uniform(key, 1 + attempt, spec.wells * dimension, start + first, start + last)
        centre[pending] = _scale(uniform[pending - first], spec.centre).reshape(-1, spec.wells, dimension)
        if spec.separation == 0:
            return centre
        near = _too_near(centre, pending, spec.separation, period, spec.separation_metric == "per_axis")
        pending = pending[near]
    if len(pending):
        raise ValueError(
            f"separation: {spec.separation:g} given, not kept by {spec.wells} wells of sample "
            f"{start + int(pending[0])} in {ATTEMPTS} attempts; a smaller one allowed"
        )
    return centre


@numba.njit(cache=True)
def _too_near(centre, rows, separation, period, per_axis):
    """Whether two centres of a sample are nearer than ``separation``, for each row of ``rows``."""
    near = np.zeros(rows.size, dtype=np.bool_)
    for index in range(rows.size):
        point = centre[rows[index]]
        for i in range(point.shape[0]):
            for j in range(i):
                smallest, square = np.inf, 0.0
                for axis in range(point.shape[1]):
                    distance = abs(point[i, axis] - point[j, axis])
                    if period > 0:
                        distance = distance % period
                        distance = min(distance, period - distance)
                    smallest = min(smallest, distance)
                    square += distance * distance
                near[index] |= (smallest if per_axis else math.sqrt(square)) < separation
            if near[index]:
                break
    return near


def synthesise(spec: Wells, problem: Problem, drawn: Drawn) -> np.ndarray:
    """Evaluate fields on the problem's grid.

    The Gaussian is a product over axes, so a field is a contraction of one-dimensional factors over the wells.

    Parameters
    ----------
    spec : Wells
    problem : Problem
        Gives the grid and whether periodic images are summed (until a term is below 1e-16 of its peak).
    drawn : Drawn
        Parameters of n samples.

    Returns
    -------
    (n, *shape) float64

    Raises
    ------
    ValueError
        If the grid is too coarse for the wells.
    """
    spec.check_grid(problem)
    count = len(drawn.variance)
    field = np.empty((count, *problem.shape))
    tile = max(1, 2**17 // (spec.wells * math.prod(problem.shape[1:] or problem.shape)))
    for start in range(0, count, tile):
        _synthesise_tile(spec, problem, drawn, slice(start, min(start + tile, count)), field)
    if spec.minimum is not None:
        axes = tuple(range(1, field.ndim))
        field += spec.minimum - field.min(axis=axes, keepdims=True)
    return field


def _synthesise_tile(spec: Wells, problem: Problem, drawn: Drawn, rows: slice, field: np.ndarray) -> None:
    variance, centre = drawn.variance[rows], drawn.centre[rows]
    factors = []
    for axis, points in enumerate(problem.coordinates()):
        factor = np.zeros((len(variance), spec.wells, len(points)))
        spacing = problem.length / len(points)
        _fill_factor(factor, centre[:, :, axis], variance, points[0], spacing, problem.periodic)
        factors.append(factor)
    amplitude = spec.sign * drawn.strength[rows] * _peak(spec, len(problem.shape), variance)[:, None]
    factors[0] *= amplitude[:, :, None]
    if len(factors) == 1:
        np.sum(factors[0], axis=1, out=field[rows])
        return
    rest = factors[1]
    for factor in factors[2:]:
        rest = (rest[..., :, None] * factor[..., None, :]).reshape(*rest.shape[:2], -1)
    out = field[rows].reshape(len(variance), problem.shape[0], -1)
    np.matmul(factors[0].transpose(0, 2, 1), rest, out=out)


def _peak(spec: Wells, dimension: int, variance: np.ndarray) -> np.ndarray:
    """Peak of a well of strength 1, (n,)."""
    if spec.amplitude == "plain":
        return np.ones_like(variance)
    power = 0.5 if spec.amplitude == "slab" else 0.5 * dimension
    return (2 * np.pi * variance) ** -power


@numba.njit(cache=True)
def _fill_factor(factor, centre, variance, lower, spacing, periodic):
    """Add exp(-(x_j - c)^2 / 2T) to ``factor`` (n, wells, N), x_j = lower + j spacing, with images where periodic.

    Seen from the grid point nearest to c, at distance delta, (j h - delta)^2 = (j h)^2 - 2 j h delta + delta^2:
    a table shared by the wells of a sample, times powers of one number a well.
    """
    count = factor.shape[2]
    for sample in range(factor.shape[0]):
        T = variance[sample]
        reach = math.ceil(CUTOFF * math.sqrt(T) / spacing + 0.5) + 1
        table = np.empty(reach)
        for j in range(reach):
            table[j] = math.exp(-((j * spacing) ** 2) / (2 * T))
        for well in range(factor.shape[1]):
            row = factor[sample, well]
            place = (centre[sample, well] - lower) / spacing
            nearest = math.floor(place + 0.5)
            delta = (place - nearest) * spacing
            step = math.exp(delta * spacing / T)
            right = math.exp(-delta * delta / (2 * T))
            left = right / step
            up, down = nearest, nearest - 1
            if periodic:
                up, down = up % count, down % count
            for j in range(reach):
                if 0 <= up < count:
                    row[up] += table[j] * right
                if j + 1 < reach and 0 <= down < count:
                    row[down] += table[j + 1] * left
                right *= step
                left /= step
                up += 1
                down -= 1
                if periodic:
                    up = 0 if up == count else up
                    down = count - 1 if down < 0 else down
