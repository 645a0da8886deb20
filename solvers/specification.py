"""What a data set is made from: with it, any block of samples can be made again, anywhere."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from solvers import wells
from solvers.dataset import PRECISIONS, Block, Header, Variable
from solvers.problem import ConvergenceError, Problem, Solution
from solvers.registry import problem as make_problem

PACKAGES = ("mnn-h2", "numpy", "scipy", "numba", "netCDF4")
RECORD = (
    Variable("residual", "f8", "relative residual of the equation, in double precision before storage"),
    Variable("iterations", "i4", "iterations of the method that produced the sample"),
    Variable("fallback", "i1", "1 where the robust method solved the sample in place of the fast one"),
)
"""What is recorded of the solution of every sample."""


class SampleError(RuntimeError):
    """A sample that could not be made; one line with the seed, the split and the sample's index."""


@dataclass(frozen=True)
class Specification:
    """A data set as a pure function of the sample index.

    Samples are always solved in whole blocks of ``problem.block_size``, aligned to the sample index: the bits of a
    matrix product depend on the width of its batch, and so the bytes of a sample depend on nothing but this
    specification, whatever range is asked for and whoever solves it.

    Attributes
    ----------
    problem : Problem
    field : wells.Wells
        Law of the random input field.
    seed : int
    split : {"train", "validation", "test"}
    precision : {"float32", "float64"}
        In which fields are stored; solving is in float64.
    method : str
        Name in ``problem.methods``.

    Raises
    ------
    ValueError
        If a value is not allowed; one line that names it.
    """

    problem: Problem
    field: wells.Wells
    seed: int
    split: str
    precision: str = "float32"
    method: str = "fast"

    def __post_init__(self):
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed: {self.seed!r} given, a non-negative integer allowed")
        choices = {"split": wells.SPLITS, "precision": PRECISIONS, "method": tuple(self.problem.methods)}
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise ValueError(f"{key}: {getattr(self, key)!r} given, {' or '.join(map(repr, allowed))} allowed")
        _name("problem", self.field.check_grid, self.problem)

    @classmethod
    def make(cls, problem: dict, field: dict, **rest) -> "Specification":
        """Make a specification from plain values, as JSON holds them.

        Parameters
        ----------
        problem : dict
            ``name``, ``shape`` and the coefficients of the equation.
        field : dict
            Arguments of :class:`solvers.wells.Wells`.
        **rest
            ``seed``, ``split`` and, optionally, ``precision`` and ``method``.
        """
        for key, value in (("problem", problem), ("field", field)):
            if not isinstance(value, dict):
                raise ValueError(f"{key}: {value!r} given, a mapping of names to values allowed")
        if missing := {"name", "shape"} - problem.keys():
            raise ValueError(f"problem.{min(missing)}: missing")
        if not isinstance(problem["shape"], (list, tuple)):
            raise ValueError(f"problem.shape: {problem['shape']!r} given, a list of positive integers allowed")
        known = [entry.name for entry in fields(wells.Wells)]
        if unknown := sorted(field.keys() - set(known)):
            raise ValueError(f"field.{unknown[0]}: unknown, {', '.join(known)} allowed")
        needed = [entry.name for entry in fields(wells.Wells) if entry.default is MISSING]
        if missing := [key for key in needed if key not in field]:
            raise ValueError(f"field.{missing[0]}: missing")
        return cls(_name("problem", make_problem, **problem), _name("field", wells.Wells, **field), **rest)

    @classmethod
    def from_json(cls, text: str) -> "Specification":
        """Make the specification again from the attribute ``spec`` of a data set."""
        return cls.make(**json.loads(text))

    def json(self) -> str:
        """Return the canonical JSON: defaults filled in, keys sorted, no spaces."""
        plain = {"problem": self.problem.spec, "field": asdict(self.field), "seed": self.seed, "split": self.split}
        plain |= {"precision": self.precision, "method": self.method}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))

    def header(self) -> Header:
        """Return the header of the data set's files."""
        number, dimension = self.field.wells, len(self.problem.shape)
        parameters = (
            Variable("strength", "f8", "strength rho of each well", (("well", number),)),
            Variable("centre", "f8", "centre c of each well", (("well", number), ("component", dimension))),
            Variable("variance", "f8", "variance T of the wells"),
        )
        attributes = {
            "title": self.problem.title,
            "equation": self.problem.equation,
            "periodic": np.int8(self.problem.periodic),
            "spec": self.json(),
            "seed": self.seed,
            "split": self.split,
            "source": "; ".join(_versions()),
        }
        coordinates = self.problem.coordinates()
        return Header(
            self.problem.input, self.problem.output, coordinates, attributes, parameters + RECORD, self.precision
        )

    def draw(self, start: int, stop: int) -> wells.Drawn:
        """Draw the parameters of samples start..stop-1."""
        return wells.draw(self.field, self.problem, self.seed, self.split, start, stop)

    def fields(self, drawn: wells.Drawn) -> np.ndarray:
        """Return the input fields of drawn parameters, (n, *shape) float64."""
        return wells.synthesise(self.field, self.problem, drawn)

    def blocks(self, start: int, stop: int) -> range:
        """Return the indices of the blocks that samples start..stop-1 lie in."""
        size = self.problem.block_size
        return range(start // size, math.ceil(stop / size))

    def block(self, index: int) -> Block:
        """Draw and solve a whole block.

        Raises
        ------
        SampleError
            If a sample cannot be solved.
        """
        size = self.problem.block_size
        start = index * size
        drawn = self.draw(start, start + size)
        field = self.fields(drawn)
        try:
            solution = self.problem.solve(field, self.method)
        except ConvergenceError as error:
            raise self._failure(start + int(error.indices[0]), error) from None
        return self.pack(start, field, drawn, solution)

    def pack(self, start: int, field: np.ndarray, drawn: wells.Drawn, solution: Solution) -> Block:
        """Bring samples into the form in which they are stored.

        Raises
        ------
        SampleError
            If a value is not finite in the precision of storage.
        """
        stored = np.empty((len(field), 2, *self.problem.shape), self.precision)
        stored[:, 0], stored[:, 1] = field, solution.values
        if not np.isfinite(stored).all():
            bad = ~np.isfinite(stored.reshape(len(stored), -1)).all(axis=1)
            raise self._failure(start + int(np.argmax(bad)), f"not finite in {self.precision}")
        extras = asdict(drawn) | {variable.name: getattr(solution, variable.name) for variable in RECORD}
        return Block(start, stored, extras)

    def _failure(self, index: int, cause) -> SampleError:
        return SampleError(f"seed {self.seed}, split {self.split}, sample {index}: {cause}")


def _name(key: str, function: Callable, *args, **options):
    """Call ``function``; put ``key`` before the message of a ValueError."""
    try:
        return function(*args, **options)
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from None


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} of the working directory"
