"""The data contract: how samples are written to netCDF-4, read back and verified. ``docs/data_format.md`` is normative.

A data set is a sequence of samples, each an input and an output field on one grid. It is stored in shards, files of
consecutive samples. Its checksum is SHA-256 over the bytes (little-endian) of input and output, sample after sample,
so that it depends neither on how the samples are cut into shards nor on attributes.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from solvers.problem import Quantity

AXES = ("x", "y", "z")
PRECISIONS = ("float32", "float64")
UNWRITTEN = 9.9e36
"""netCDF fills what was never written with 9.97e36; nothing physical comes near it."""
SAMPLES_AT_ONCE, POINTS_AT_ONCE = 1024, 2**22
"""Samples, and grid points of them together, that are read at a time."""


class DatasetError(ValueError):
    """A file that does not honour the contract; one line that names the file and what is wrong.

    ``remedy`` says how whoever wrote the file can mend it, where that is known.
    """

    def __init__(self, message: str, remedy: str | None = None):
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True)
class Variable:
    """A variable beside the two fields, one entry a sample: residual, iterations, drawn parameters.

    ``dimensions`` are the names and sizes of its dimensions after ``sample``.
    """

    name: str
    dtype: str
    long_name: str
    dimensions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Header:
    """What a data set is, apart from its samples.

    Attributes
    ----------
    input, output : Quantity
        Names, descriptions and units of the two fields.
    coordinates : tuple of 1D arrays
        Grid points along x, y, z.
    attributes : dict
        Further global attributes: text or numbers.
    variables : tuple of Variable
        Further variables, one entry a sample.
    precision : {"float32", "float64"}
        In which the fields are stored.
    axes : tuple of str
        Names of the axes, x, y, z unless said otherwise.
    """

    input: Quantity
    output: Quantity
    coordinates: tuple[np.ndarray, ...]
    attributes: dict = field(default_factory=dict)
    variables: tuple[Variable, ...] = ()
    precision: str = "float32"
    axes: tuple[str, ...] = AXES

    @property
    def shape(self) -> tuple[int, ...]:
        """Grid points along each axis."""
        return tuple(len(points) for points in self.coordinates)


@dataclass(frozen=True)
class Block:
    """Consecutive samples.

    Attributes
    ----------
    start : int
        Index of the first sample in the data set.
    fields : (n, 2, *shape) array
        Input and output of each sample in the precision of storage: in memory as it is hashed.
    extras : dict
        Name -> (n, ...) array, for each of the header's ``variables``.
    """

    start: int
    fields: np.ndarray
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """Index after the last sample."""
        return self.start + len(self.fields)

    def crop(self, start: int, stop: int) -> "Block":
        """Return the samples of this block that lie in start..stop-1."""
        first, last = max(start, self.start), min(stop, self.stop)
        rows = slice(first - self.start, last - self.start)
        return Block(first, self.fields[rows], {name: values[rows] for name, values in self.extras.items()})


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes
    ----------
    input, output : (n, *shape) float32 or float64
    coordinates : dict
        Axis name -> grid points; an axis for which the files have none is absent.
    attrs : dict
        Global attributes of the first shard (absent where a user's file does not have them: ``spec``, the canonical
        JSON; ``title``, ``equation``, ``periodic``, ``seed``, ``split``, ...) and, always, ``input_variable``,
        ``input_long_name``, ``input_units`` and the same for ``output``.
    checksum : str
        ``"sha256:..."`` of exactly the samples held here.
    start : int
        Index of the first sample.
    """

    input: np.ndarray
    output: np.ndarray
    coordinates: dict[str, np.ndarray]
    attrs: dict
    checksum: str
    start: int = 0


class Checksum:
    """The checksum of a data set, fed with consecutive blocks of samples."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def update(self, fields: np.ndarray) -> None:
        """Add samples given as (n, 2, *shape): input and output."""
        little = fields.dtype.newbyteorder("<")
        self._hash.update(np.ascontiguousarray(fields, dtype=little))

    def text(self) -> str:
        """Return the checksum of all samples so far."""
        return f"sha256:{self._hash.hexdigest()}"


def checksum(inputs: np.ndarray, outputs: np.ndarray, block: int = 1024) -> str:
    """Return the checksum of samples given as two (n, *shape) arrays of one precision."""
    total = Checksum()
    for start in range(0, len(inputs), block):
        rows = slice(start, start + block)
        total.update(np.stack([inputs[rows], outputs[rows]], axis=1))
    return total.text()


@dataclass(frozen=True)
class Shard:
    """One file of a data set, inspected but not read. ``start`` is None where the file does not say."""

    path: Path
    count: int
    start: int | None
    input: str
    output: str
    dtype: np.dtype
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    coordinates: dict[str, np.ndarray]
    attrs: dict

    def blocks(self, size: int | None = None, stop: int | None = None, start: int = 0) -> Iterator[tuple]:
        """Read input and output of the samples ``start`` to ``stop`` - 1 (default: all), ``size`` at a time.

        Without a size, as many as memory holds easily.

        Raises
        ------
        DatasetError
            If a block cannot be read or is not finite.
        """
        stop = self.count if stop is None else stop
        size = size or max(1, min(SAMPLES_AT_ONCE, POINTS_AT_ONCE // math.prod(self.shape)))
        with _open(self.path) as file:
            for first in range(start, stop, size):
                rows = slice(first, min(first + size, stop))
                yield tuple(self._read(file, name, rows) for name in (self.input, self.output))

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Read single samples, (n, 2, *shape): input and output."""
        with _open(self.path) as file:
            pair = [
                [self._read(file, name, slice(row, row + 1))[0] for row in rows] for name in (self.input, self.output)
            ]
        return np.stack(pair, axis=1)

    def variables(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Read variables that have one entry a sample.

        Raises
        ------
        DatasetError
            If one is missing or not finite.
        """
        found = {}
        with _open(self.path) as file:
            for name in names:
                if name not in file.variables or file[name].shape[:1] != (self.count,):
                    raise DatasetError(f"{self.path}: no variable {name} with one entry a sample")
                found[name] = self._read(file, name, slice(0, self.count))
        return found

    def _read(self, file, name: str, rows: slice) -> np.ndarray:
        with _reading(self.path, f"variable {name}"):
            values = np.asarray(file[name][rows])
            given = {
                key: file[name].getncattr(key) for key in {"_FillValue", "missing_value"} & {*file[name].ncattrs()}
            }
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(values) < UNWRITTEN)
        for missing in given.values():
            bad |= values == missing
        if bad.any():
            row = rows.start + int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
            remedy = "leave such samples out of both fields, or fill the gaps"
            raise DatasetError(f"{self.path}: {name} of sample {row} of the file is NaN, infinite or missing", remedy)
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _open(path: Path):
    import netCDF4

    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    try:
        file = netCDF4.Dataset(path)
    except (OSError, RuntimeError) as error:
        with path.open("rb") as raw:
            known = raw.read(8).startswith((b"\x89HDF", b"CDF"))
        kind = "truncated or damaged" if known else "not a netCDF file"
        raise DatasetError(f"{path}: {kind} ({getattr(error, 'strerror', None) or error})") from None
    file.set_auto_mask(False)
    return file


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of netCDF4, which are of many kinds where a file is damaged, into one line."""
    try:
        yield
    except (OSError, RuntimeError, AttributeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: {what} cannot be read ({error}), the file is damaged") from None


def inspect(path: os.PathLike | str, input_name: str | None = None, output_name: str | None = None) -> Shard:
    """Read what a file says of itself and check that it can be a shard.

    Parameters
    ----------
    path : path-like
    input_name, output_name : str, optional
        Names of the variables, where the file's attributes ``input_variable`` and ``output_variable`` do not tell.

    Raises
    ------
    DatasetError
        If it cannot; one line that names the file and what is wrong.
    """
    path = Path(path)
    with _open(path) as file, _reading(path, "what it says of itself"):
        attrs = {name: _plain(file.getncattr(name)) for name in file.ncattrs()}
        names = [
            _variable_name(path, file, attrs, role, name)
            for role, name in (("input", input_name), ("output", output_name))
        ]
        pair = [file[name] for name in names]
        _check_layout(path, *pair)
        for role, variable in zip(("input", "output"), pair, strict=True):
            attrs[f"{role}_variable"] = variable.name
            attrs[f"{role}_long_name"] = getattr(variable, "long_name", variable.name)
            attrs[f"{role}_units"] = getattr(variable, "units", "1")
        axes = pair[0].dimensions[1:]
        coordinates = {axis: _coordinate(path, file, axis) for axis in axes if axis in file.variables}
        count, *shape = pair[0].shape
        start = _start(path, file, attrs, count)
        return Shard(path, count, start, *names, pair[0].dtype, tuple(shape), axes, coordinates, attrs)


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _variable_name(path: Path, file, attrs: dict, role: str, name: str | None) -> str:
    name = attrs.get(f"{role}_variable") if name is None else name
    if name is None:
        fields = [_layout(variable) for variable in file.variables.values() if variable.ndim > 1]
        there = f"; there is {', '.join(fields) or 'no variable of two dimensions or more'}"
        remedy = f"name both with --variables INPUT OUTPUT, or set the global attribute {role}_variable{there}"
        raise DatasetError(f"{path}: no attribute {role}_variable to tell which variable is the {role}", remedy)
    if name not in file.variables:
        there = ", ".join(file.variables) or "none"
        raise DatasetError(
            f"{path}: no variable {name} ({role}), there is {there}", "give the name of one that is there"
        )
    return name


def _layout(variable) -> str:
    """Name, dimensions and sizes of a variable: ``potential(sample: 1000, x: 320)``."""
    sizes = zip(variable.dimensions, variable.shape, strict=True)
    return f"{variable.name}({', '.join(f'{name}: {size}' for name, size in sizes)})"


def _check_layout(path: Path, given, wanted) -> None:
    both = f"{_layout(given)} and {_layout(wanted)}"
    if given.dimensions != wanted.dimensions:
        remedy = "interpolate both to one grid and store them with the same dimensions, the sample first"
        raise DatasetError(f"{path}: {both} found, the same dimensions expected", remedy)
    if not 2 <= given.ndim <= 4:
        remedy = "store fields as (sample, x), (sample, x, y) or (sample, x, y, z)"
        raise DatasetError(f"{path}: {_layout(given)} found, sample and one to three axes expected", remedy)
    if "sample" in given.dimensions[1:]:
        remedy = 'bring the samples to the front, with xarray: data.transpose("sample", ...)'
        raise DatasetError(f"{path}: {_layout(given)} found, sample expected as the first dimension", remedy)
    if given.dtype not in (np.float32, np.float64) or wanted.dtype != given.dtype:
        both = f"{given.name} {given.dtype} and {wanted.name} {wanted.dtype}"
        remedy = 'store both in one precision, with xarray: data.astype("float32")'
        raise DatasetError(f"{path}: {both} found, both float32 or both float64 expected", remedy)
    if 0 in given.shape:
        raise DatasetError(f"{path}: {_layout(given)} is empty")


def _coordinate(path: Path, file, axis: str) -> np.ndarray:
    points = np.asarray(file[axis][:], dtype=np.float64)
    if points.ndim != 1 or not np.isfinite(points).all():
        remedy = f"give one number for each point along {axis}, or leave the coordinate variable out"
        raise DatasetError(f"{path}: coordinate {axis} is not a list of finite numbers", remedy)
    steps = np.diff(points)
    if len(steps) and not (np.ptp(steps) <= 1e-4 * abs(steps[0]) and steps[0] > 0):
        remedy = f"interpolate both fields to equal steps along {axis}, with xarray: data.interp({axis}=points)"
        raise DatasetError(f"{path}: coordinate {axis} is not uniform and increasing", remedy)
    return points


def _start(path: Path, file, attrs: dict, count: int) -> int | None:
    """Index of the first sample, from the coordinate or the attributes, which must agree."""
    start, stop = attrs.get("start"), attrs.get("stop")
    if start is not None and stop is not None and stop - start != count:
        raise DatasetError(f"{path}: {count} samples found, attributes say {start} to {stop}")
    if "sample" in file.variables:
        index = np.asarray(file["sample"][:])
        if index.shape != (count,) or (np.diff(index) != 1).any() or index[0] != (index[0] if start is None else start):
            raise DatasetError(f"{path}: coordinate sample is not consecutive from {start or index[:1]}")
        return int(index[0])
    return start


class Source:
    """The shards of one data set, in order, to be read in blocks: for data larger than memory.

    Parameters
    ----------
    paths : path-like, or iterable of them
        Files in any order if they say where they start, else in the order of the samples.
    input_name, output_name : str, optional
        Names of the variables of files that do not tell.

    Attributes
    ----------
    shards : list of Shard
    count : int
        Samples in all.
    shape : tuple of int
        Grid points along each axis.
    dtype : numpy.dtype
        Precision of both fields.
    attrs, coordinates : dict
        As in :class:`Dataset`.

    Raises
    ------
    DatasetError
        If a file cannot be a shard, differs from the others, or samples are missing between two of them.
    """

    def __init__(self, paths, input_name: str | None = None, output_name: str | None = None):
        paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        if not paths:
            raise DatasetError("paths: no file given, at least one needed")
        self.shards = [inspect(path, input_name, output_name) for path in paths]
        if all(shard.start is not None for shard in self.shards):
            self.shards.sort(key=lambda shard: shard.start)
        for shard, following in pairwise(self.shards):
            _check_follows(shard, following)
        first = self.shards[0]
        self.count = sum(shard.count for shard in self.shards)
        self.start, self.shape, self.dtype = first.start or 0, first.shape, first.dtype
        self.attrs, self.coordinates = first.attrs, first.coordinates

    def blocks(self, size: int | None = None, count: int | None = None, verify: bool = True) -> Iterator[tuple]:
        """Read input and output of the first ``count`` samples, at most ``size`` (default: what fits) at a time.

        A shard's checksum is compared after its last sample (the samples beyond ``count`` of the last shard are
        read for that and not given): whoever must not use bad data finishes the iteration first.

        Yields
        ------
        input, output : (n, *shape) arrays

        Raises
        ------
        DatasetError
            If samples cannot be read, are not finite or, with ``verify``, not those the checksum was made of.
        """
        left = self.count if count is None else count
        if not 0 < left <= self.count:
            raise DatasetError(f"{self.shards[0].path}: {left} samples wanted, 1 to {self.count} there")
        for shard in self.shards:
            if left == 0:
                return
            wanted, verified = min(left, shard.count), verify and "checksum" in shard.attrs
            total, first = Checksum(), 0
            for pair in shard.blocks(size, None if verified else wanted):
                if verified:
                    total.update(np.stack(pair, axis=1))
                if first < wanted:
                    yield tuple(values[: wanted - first] for values in pair)
                first += len(pair[0])
            if verified and total.text() != shard.attrs["checksum"]:
                raise DatasetError(f"{shard.path}: checksum mismatch, the fields are not those that were written")
            left -= wanted


def _check_follows(shard: Shard, following: Shard) -> None:
    """Raise DatasetError if the second shard cannot continue the first."""
    for name in ("input", "output", "dtype", "shape"):
        mine, other = getattr(shard, name), getattr(following, name)
        if mine != other:
            raise DatasetError(f"{following.path}: {name} {other} found, {mine} as in {shard.path} expected")
    if following.attrs.get("spec") != shard.attrs.get("spec"):
        raise DatasetError(f"{following.path}: of another data set than {shard.path} (attribute spec)")
    mine, other = shard.coordinates, following.coordinates
    if mine.keys() != other.keys() or not all(np.allclose(mine[axis], other[axis], rtol=1e-6) for axis in mine):
        raise DatasetError(f"{following.path}: grid differs from that of {shard.path}")
    if None not in (shard.start, following.start) and following.start != (expected := shard.start + shard.count):
        raise DatasetError(f"{following.path}: begins at sample {following.start}, {expected} expected")


def read(
    paths: os.PathLike | str | Iterable,
    count: int | None = None,
    verify: bool = True,
    input_name: str | None = None,
    output_name: str | None = None,
) -> Dataset:
    """Read the first ``count`` samples (default: all) of a data set into memory.

    Parameters
    ----------
    paths : path-like, or iterable of them
        The shards, see :class:`Source`.
    count : int, optional
        How many samples.
    verify : bool
        Compare each shard with its checksum; shards without one are taken as they are.
    input_name, output_name : str, optional
        Names of the variables of files that do not tell.

    Raises
    ------
    DatasetError
        If a file is missing, damaged, foreign, changed or does not fit; one line that names it.
    """
    source = Source(paths, input_name, output_name)
    count = source.count if count is None else count
    first = np.empty((2, count, *source.shape), source.dtype) if 0 < count <= source.count else None
    total, filled = Checksum(), 0
    for pair in source.blocks(count=count, verify=verify):
        total.update(np.stack(pair, axis=1))
        rows = slice(filled, filled + len(pair[0]))
        first[0, rows], first[1, rows] = pair
        filled = rows.stop
    return Dataset(first[0], first[1], source.coordinates, source.attrs, total.text(), source.start)
