"""Densities of weak potentials, batch by batch: the low plane waves exactly, all others by a contraction.

Let P be the lowest plane waves in whole shells, more than there are electrons, and Q the others. The lowest invariant
subspace of H = T + V is spanned by the columns of [1; X], where X satisfies Bloch's (a Riccati) equation

    (T_Q + V_QQ) X + V_QP - X (T_P + E) = 0,    E = V_PP + V_PQ X.

The kinetic part is diagonal, so X <- -(V_QP + V_QQ X - X E)_qi / (T_q - T_i) is a contraction, the stronger the
weaker the potential. It runs in single precision on few waves. One more step in double precision on many waves
removes what that left out (they are so fast that one step is enough), a Rayleigh-Ritz step in the small subspace
separates occupied from empty states whatever their gap, and the residual of the occupied ones bounds the error.
"""

import math
from dataclasses import dataclass

import numpy as np

from solvers.density import ROUNDING, error_bound, normalise
from solvers.plane_waves import band_limit, harmonics, kinetic_energies, low_waves, plane_waves, transform

REACH = 1.0
"""Largest max|V| (V of mean 0) over the kinetic gap between P and Q that is tried."""
STEPS, CHANGE = 12, 3e-6
"""Most steps on the inner waves, and the change of X that ends them: the outer step removes what is left."""
TAIL = 3e-8
"""Root mean square of V beyond the band of a level, relative to the kinetic gap, up to which the level is used."""
FINEST = 512
"""Points along an axis up to which matrix products are worth while: beyond, the eigensolver's transforms are faster."""
TILE = 2**18
"""Numbers in the largest array of a tile of samples, so that it stays in cache."""


@dataclass(frozen=True)
class Band:
    """Harmonics and grid points per axis: of the contraction (inner) and of the last step (outer).

    The outer grid carries the product of an outer wave with a potential of harmonics up to ``potential`` unaliased.
    """

    inner: int
    inner_points: int
    outer: int
    outer_points: int

    @property
    def potential(self) -> int:
        """Highest harmonic of a potential that the outer grid carries."""
        return self.outer_points - 2 * self.outer - 1

    def scaled(self, factor: int) -> "Band":
        """Return the band with everything ``factor`` times as large."""
        return Band(*(factor * size for size in (self.inner, self.inner_points, self.outer, self.outer_points)))


FIRST_BAND = {1: Band(18, 40, 30, 96), 2: Band(6, 14, 8, 26), 3: Band(6, 14, 8, 26)}
"""Coarsest band by dimension; finer ones double it until they are the grid itself."""


class _Waves:
    """A tensor product of plane waves and what the contraction needs of it, for one Hamiltonian."""

    def __init__(self, shape, harmonic, points, length, electrons, dtype=np.float64):
        self.points = tuple(min(points, n) for n in shape)
        self.counts = tuple(min(2 * harmonic + 1, n) for n in shape)
        axes = [plane_waves(points, count) for points, count in zip(self.points, self.counts, strict=True)]
        self.synthesis = [waves.astype(dtype) for waves in axes]
        self.analysis = [(waves.T / waves.shape[1]).astype(dtype) for waves in axes]
        self.energies = kinetic_energies(self.counts, length).ravel()
        self.low = low_waves(self.energies, electrons + 1).index
        distance = self.energies - self.energies[self.low][:, None]
        distance[:, self.low] = np.inf
        self.inverse = (-1 / distance).astype(dtype)
        self.start = np.zeros(distance.shape, dtype)
        self.start[np.arange(len(self.low)), self.low] = 1

    def evaluate(self, states):
        """States (batch, k, waves) on the grid, (batch, k, *points)."""
        return transform(states.reshape(*states.shape[:2], *self.counts), self.synthesis, last_first=False)

    def project(self, values):
        """Components (batch, k, waves) of fields (batch, k, *points)."""
        return transform(values, self.analysis, last_first=True).reshape(*values.shape[:2], -1)

    def step(self, states, potential_states):
        """One step of the contraction from states [1; X] and V [1; X]; returns the new states and E."""
        energy = potential_states[:, :, self.low]
        new = energy @ states
        np.subtract(potential_states, new, out=new)
        new *= self.inverse
        new += self.start
        return new, energy


class Level:
    """Tables for potentials of one band on one grid.

    Parameters
    ----------
    shape : tuple of int
    length : float
        Period along each axis.
    electrons : int
    band : Band
    """

    def __init__(self, shape: tuple[int, ...], length: float, electrons: int, band: Band):
        self.inner = _Waves(shape, band.inner, band.inner_points, length, electrons, np.float32)
        self.outer = _Waves(shape, band.outer, band.outer_points, length, electrons)
        self.whole = self.outer.points == shape
        grids = list(zip(shape, self.outer.points, self.inner.points, self.inner.counts, strict=True))
        self.sample = [band_limit(n, outer, band.potential) for n, outer, _, _ in grids]
        self.refine = [band_limit(outer, n, (outer - 1) // 2) for n, outer, _, _ in grids]
        coarsen = [band_limit(outer, inner, (inner - 1) // 2) for _, outer, inner, _ in grids]
        self.coarsen = [matrix if matrix is None else matrix.astype(np.float32) for matrix in coarsen]
        self.bridge = [plane_waves(outer, count) for _, outer, _, count in grids]
        cut = [(count + 1) // 2 for count, n in zip(self.outer.counts, shape, strict=True) if count < n]
        self.beyond = 0.5 * (2 * math.pi / length * min(cut)) ** 2 if cut else math.inf
        # A product of two outer waves that the outer grid aliases has both factors far and one of them extreme.
        limits = (band.potential // 2, (band.outer_points - 1) // 4)
        self.parts = np.array([np.ones(self.outer.energies.size), *(self._above(limit) for limit in limits)])

    def _above(self, limit: int) -> np.ndarray:
        """1 for outer waves above a harmonic along some axis, else 0; 0 where the outer grid is the problem's own."""
        above = np.zeros(self.outer.counts, dtype=bool)
        for axis, count in enumerate(self.outer.counts):
            above |= (harmonics(count) > limit).reshape((-1,) + (1,) * (above.ndim - 1 - axis))
        return (above & (not self.whole)).ravel().astype(np.float64)

    def pad(self, states: np.ndarray) -> np.ndarray:
        """States in the inner waves (batch, k, waves) as states in the outer ones."""
        padded = np.zeros((*states.shape[:2], *self.outer.counts))
        inside = tuple(slice(count) for count in self.inner.counts)
        padded[(..., *inside)] = states.reshape(*states.shape[:2], *self.inner.counts)
        return padded.reshape(*states.shape[:2], -1)


@dataclass(frozen=True)
class _Subspace:
    """Ritz vectors of a tile: all the energies, the occupied states, and how far the block is from invariant.

    ``energies`` (batch, block), ``occupied`` (batch, n, waves); (batch,): ``spread`` |X|, ``shift`` the size of the
    last step, ``defect`` and ``outside`` bounds of the block's residual in the outer waves and beyond, ``far`` and
    ``extreme`` the parts of the block in far and in extreme waves.
    """

    energies: np.ndarray
    occupied: np.ndarray
    spread: np.ndarray
    shift: np.ndarray
    defect: np.ndarray
    outside: np.ndarray
    far: np.ndarray
    extreme: np.ndarray


class Contraction:
    """The fast path for one grid and number of electrons.

    Each sample is solved on the coarsest band that carries its potential, and on finer ones while its error may be
    too large; samples beyond the method's reach are left alone.

    Parameters
    ----------
    shape : tuple of int
    length : float
        Period along each axis.
    electrons : int
    goal : float
        Bound of the relative error that is small enough.
    """

    def __init__(self, shape: tuple[int, ...], length: float, electrons: int, goal: float):
        self.shape, self.length, self.electrons, self.goal = shape, length, electrons, goal
        self.volume = length ** len(shape)
        waves = low_waves(kinetic_energies(shape, length), electrons + 1)
        self.kinetic, self.above = waves.energy, waves.above
        self.gap = waves.above - waves.energy[-1]
        place = zip(shape, np.unravel_index(waves.index, shape), strict=True)
        highest = max(int(harmonics(count)[index].max()) for count, index in place)
        self.bands = list(self._bands(2 * highest))
        self.levels = {}
        points = math.prod(min(FIRST_BAND[len(shape)].outer_points, count) for count in shape)
        self.tile = min(256, max(1, TILE // (len(self.kinetic) * points)))
        _keep_freed_memory()

    def _bands(self, harmonic: int):
        """Bands that hold this harmonic, from the coarsest to the grid itself or the finest that pays."""
        band, points = FIRST_BAND[len(self.shape)], max(self.shape)
        while band.inner_points < points and min(band.outer_points, points) <= FINEST:
            if band.inner >= harmonic:
                yield band
            band = band.scaled(2)
        if points <= FINEST:
            yield Band(points, points, points, points)

    def _level(self, band: Band) -> Level:
        if band not in self.levels:
            self.levels[band] = Level(self.shape, self.length, self.electrons, band)
        return self.levels[band]

    def solve(self, field: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve potentials (batch, *shape).

        Returns
        -------
        density : (batch, *shape) float64
            With integral ``electrons``; zero where the bound is infinite.
        steps : (batch,) int64
            Steps of the contraction, the outer one included.
        bound : (batch,) float64
            Bound of the relative l2 error of the density; above ``goal``, maybe infinite, beyond the method's reach.
        """
        density = np.zeros(field.shape)
        steps, bound = np.zeros(len(field), dtype=np.int64), np.full(len(field), np.inf)
        for first in range(0, len(field), self.tile):
            rows = slice(first, first + self.tile)
            self._solve_tile(field[rows], density[rows], steps[rows], bound[rows])
        return density, steps, bound

    def _solve_tile(self, field, density, steps, bound):
        axes = tuple(range(1, field.ndim))
        potential = field - field.mean(axis=axes, keepdims=True)
        square = _square(potential) / math.prod(self.shape)
        low, high = potential.min(axis=axes), potential.max(axis=axes)
        pending = np.maximum(-low, high) <= REACH * self.gap if math.isfinite(self.gap) else np.zeros(len(field), bool)
        for band in self.bands:
            if not pending.any():
                break
            level = self._level(band)
            smooth = transform(_take(potential, pending), level.sample, last_first=True)
            carried = _square(smooth) / math.prod(level.outer.points)
            tail = np.zeros(len(smooth)) if level.whole else np.sqrt(np.maximum(_take(square, pending) - carried, 0))
            fits = tail <= TAIL * self.gap
            solved = pending.copy()
            solved[pending] = fits
            if solved.any():
                extremes = _take(low, solved), _take(high, solved)
                answer = self._solve_level(level, _take(smooth, fits), _take(tail, fits), *extremes)
                density[solved], steps[solved], bound[solved] = answer
                pending[solved] = (bound[solved] > self.goal) & np.isfinite(bound[solved])

    def _solve_level(self, level, smooth, tail, low, high):
        inner, steps = self._contract(level, smooth)
        size = np.maximum(-low, high)
        subspace = self._rayleigh_ritz(level, smooth, inner, size)
        values = level.outer.evaluate(subspace.occupied)
        flat = values.reshape(*values.shape[:2], -1)
        density = np.einsum("bni,bni->bi", flat, flat)
        tail = tail * np.sqrt(density.max(axis=1))
        density = normalise(density.reshape(-1, *level.outer.points), self.electrons, self.volume)
        leak, coupling = self._errors(level, smooth, tail, low, size, subspace, values)
        gap = subspace.energies[:, self.electrons] - subspace.energies[:, self.electrons - 1]
        bound = error_bound(density, self.volume, leak, coupling, gap)
        bound += 2 * level.parts[1].sum() ** 0.5 * subspace.far * subspace.extreme
        return transform(density, level.refine, last_first=False), steps + 1, bound

    def _contract(self, level: Level, smooth: np.ndarray) -> tuple[np.ndarray, int]:
        """States [1; X] in the inner waves, and the steps taken; X = 0 where the iteration does not converge."""
        waves = level.inner
        potential = transform(smooth.astype(np.float32), level.coarsen, last_first=True)[:, None]
        states = waves.start[None]
        for step in range(1, STEPS + 1):
            with np.errstate(over="ignore", invalid="ignore"):
                new = waves.step(states, waves.project(waves.evaluate(states) * potential))[0]
                change = new - states
                square = _square(change)
            states = new
            if step > 1 and square.max() < CHANGE**2:
                break
        states[~(square < 1)] = waves.start
        return states, step

    def _rayleigh_ritz(self, level, smooth, inner, size) -> _Subspace:
        """Take the step on the outer waves and diagonalise H in the block.

        With C the states before the step and D the step, (C + D)^T H (C + D) is known from V C but for D^T V D.
        """
        waves = level.outer
        inner = inner.astype(np.float64)
        before = level.pad(inner)
        values = transform(inner.reshape(*inner.shape[:2], *level.inner.counts), level.bridge, last_first=False)
        values *= smooth[:, None]
        image = waves.project(values)
        states, energy = waves.step(before, image)
        step = states - before
        work = waves.energies * states
        work += image
        hamiltonian = states @ work.swapaxes(1, 2) + image @ step.swapaxes(1, 2)
        root = np.linalg.inv(np.linalg.cholesky(states @ states.swapaxes(1, 2)))
        energies, rotation = np.linalg.eigh(root @ hamiltonian @ root.swapaxes(1, 2))
        mix = rotation.swapaxes(1, 2) @ root
        parts = np.einsum("bkq,bkq->bq", states, states) @ level.parts.T
        parts[:, 0] -= len(self.kinetic)
        spread, far, extreme = np.sqrt(np.maximum(parts.T, 0))
        shift = np.sqrt(_square(step))
        # The residual of the Ritz vectors is mix [(T_P + E) - theta] [1; X] - mix E D + mix V D.
        mismatch = mix @ energy + mix * self.kinetic - energies[:, :, None] * mix
        defect = np.sqrt(_square(mismatch) * (1 + spread**2)) + (np.sqrt(_square(energy)) + size) * shift
        outside = np.sqrt(_outside(values, image)) + size * shift
        occupied = mix[:, : self.electrons] @ states
        return _Subspace(energies, occupied, spread, shift, defect, outside, far, extreme)

    def _errors(self, level, smooth, tail, low, size, subspace, values) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the leak of the occupied space and of the error of the projected Hamiltonian.

        H is at least T + min V on Q, and at least ``rest`` on the complement of the block. Outside the outer waves
        the residual is V psi; ``tail`` is a bound of |V psi| for the part of V beyond the level's band.
        """
        waves, spread = level.outer, subspace.spread
        occupied = subspace.energies[:, : self.electrons]
        fermi = occupied[:, -1]
        product = values * smooth[:, None]
        image = waves.project(product)
        outside = np.sqrt(_outside(product, image))
        image += (waves.energies - occupied[:, :, None]) * subspace.occupied
        rest = (self.above + low * (1 + spread**2) - 2 * size * spread) / (1 + spread**2)
        distance, beyond = np.maximum(rest - fermi, 0), np.maximum(level.beyond + low - fermi, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = 1 / np.maximum(np.maximum(waves.energies, self.above) + (low - fermi)[:, None], 0)
            inside = np.einsum("bnq,bnq,bq->b", image, image, weights)
            leak = np.sqrt(inside / distance) + outside / np.sqrt(beyond * distance)
            leak += tail * self.electrons**0.5 / distance
            coupling = leak * subspace.defect + outside / beyond * subspace.outside
        coupling += size * subspace.shift**2 + 2 * tail * subspace.far
        return leak, coupling + ROUNDING * (size + np.ptp(subspace.energies, axis=1))


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of freed temporaries, as it does up to the largest block that has been freed.

    Otherwise every tile's temporaries are mapped anew, and the page faults cost as much as the arithmetic.
    """
    np.empty(2**21)


def _take(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Rows where the mask is true, without a copy where it is true everywhere."""
    return values if mask.all() else values[mask]


def _square(values: np.ndarray) -> np.ndarray:
    """Sum of squares over all axes but the first."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    return np.einsum("bi,bi->b", flat, flat)


def _outside(values: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Mean square of fields (batch, k, *points), summed over k, that their components (batch, k, waves) leave out."""
    return np.maximum(_square(values) / math.prod(values.shape[2:]) - _square(components), 0)
