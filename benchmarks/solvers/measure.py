"""Measure one case: rates in turns, so that both solvers see the same machine, and errors against the reference."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.solvers.case import Case
from solvers import Solution

TURNS = 7
SEED = 2019


@dataclass(frozen=True)
class Measurement:
    """What was measured of a case, beside its floors; errors are relative l2, rates samples per second."""

    case: str
    fast: float
    straightforward: float
    ratio: float
    floor_ratio: float
    error: float
    floor_error: float
    error_straightforward: float
    hardest: float
    floor_hardest: float
    error_signal: float
    floor_signal: float
    fallback: int
    samples: int

    @property
    def short(self) -> list[str]:
        """Names of what misses its floor."""
        names = [name for name in ("error", "hardest") if not getattr(self, name) <= getattr(self, f"floor_{name}")]
        if not math.isnan(self.floor_signal) and not self.error_signal <= self.floor_signal:
            names.append("signal")
        return names + (["ratio"] if not self.ratio >= self.floor_ratio else [])


def measure(case: Case) -> Measurement:
    """Measure rates and errors of a case."""
    count = max(case.samples_fast, case.samples_straightforward, case.samples_reference)
    field = case.fields(count, SEED)
    fast, straightforward, fallback, plain = _rates(case, field)
    compared = field[: case.samples_reference]
    exact = case.reference(compared)
    values = _solve(case, compared)
    few = min(len(plain), len(exact))
    common = np.zeros(case.problem.shape) if case.signal is None else case.signal()
    return Measurement(
        case=case.name,
        fast=fast,
        straightforward=straightforward,
        ratio=fast / straightforward,
        floor_ratio=case.floor_ratio,
        error=float(_errors(values, exact).mean()),
        floor_error=case.floor_error,
        error_straightforward=float(_errors(plain[:few], exact[:few]).mean()),
        hardest=float(_errors(_solve(case, case.hardest), case.reference(case.hardest), common).max()),
        floor_hardest=case.floor_hardest,
        error_signal=math.nan if case.signal is None else float(_errors(values, exact, common).mean()),
        floor_signal=math.nan if case.floor_signal is None else case.floor_signal,
        fallback=fallback,
        samples=case.samples_fast,
    )


def _rates(case: Case, field: np.ndarray) -> tuple[float, float, int, np.ndarray]:
    """Samples per second of both solvers, medians of turns taken one after the other, after a first one not counted.

    Returns also the fast solver's fallbacks and the straightforward one's values.
    """
    parts = np.array_split(field[: case.samples_straightforward], min(TURNS, case.samples_straightforward))
    drawn = field[: case.samples_fast]
    _pass(case, drawn)
    if len(parts) > 1:  # a solver slow enough for one sample only needs no warming up
        case.straightforward(field[:1])
    fast, straightforward, values = [], [], []
    for part in parts:
        before, fallback = _timed(_pass, case, drawn)
        seconds, solved = _timed(case.straightforward, part)
        after, _ = _timed(_pass, case, drawn)
        fast += [len(drawn) / before, len(drawn) / after]
        straightforward.append(len(part) / seconds)
        values.append(solved)
    return statistics.median(fast), statistics.median(straightforward), fallback, np.concatenate(values)


def _timed(function: Callable, *arguments):
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def _blocks(case: Case, field: np.ndarray) -> Iterator[Solution]:
    """Solutions by the fast path in the blocks that the generator takes."""
    size = case.problem.block_size
    return (case.problem.solve(field[start : start + size]) for start in range(0, len(field), size))


def _pass(case: Case, field: np.ndarray) -> int:
    """Solve by the fast path, letting each block go as the generator does; the number of fallbacks."""
    return sum(int(solution.fallback.sum()) for solution in _blocks(case, field))


def _solve(case: Case, field: np.ndarray) -> np.ndarray:
    """Values by the fast path."""
    return np.concatenate([solution.values for solution in _blocks(case, field)])


def _errors(values: np.ndarray, exact: np.ndarray, common: np.ndarray | float = 0.0) -> np.ndarray:
    """|values - exact| / |exact - common| of every sample."""
    axes = tuple(range(1, exact.ndim))
    return np.sqrt(((values - exact) ** 2).sum(axis=axes) / ((exact - common) ** 2).sum(axis=axes))
