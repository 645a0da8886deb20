"""Data sets as the networks take them: two arrays, the grid they live on and a checksum. The edge to files."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class FieldSet:
    """Samples of a map between fields.

    Attributes
    ----------
    input, output : (samples, *shape) float32
        In physical units.
    grid : dict
        JSON-ready: ``axes`` (name -> points), ``input`` and ``output`` (name, long_name, units), ``periodic``
        (absent where the files do not say).
    checksum : str
        Of exactly these samples.
    """

    input: np.ndarray
    output: np.ndarray
    grid: dict
    checksum: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Grid points along each axis."""
        return self.input.shape[1:]

    def __len__(self) -> int:
        return len(self.input)


def read(
    paths: Sequence[str | Path], count: int | None, role: str, variables: tuple[str | None, str | None] = (None, None)
) -> FieldSet:
    """Read the first samples of a data set from its shards.

    Parameters
    ----------
    paths : sequence of paths
        NetCDF shards.
    count : int or None
        Samples wanted, None for all.
    role : {"train", "validation", "test"}
        Named in messages.
    variables : (str, str)
        Names of the input and the output variable, where the files do not tell.

    Raises
    ------
    ValueError
        If a file is missing, truncated or foreign, holds NaN, or there are fewer samples than wanted; one line.
    """
    from solvers import dataset

    held = dataset.Source(paths, *variables).count
    if count is not None and not 1 <= count <= held:
        raise ValueError(f"n_{role}: {count} given, 1 to {held} allowed, the samples of {paths[0]} and what follows")
    data = dataset.read(paths, count, input_name=variables[0], output_name=variables[1])
    fields = (np.ascontiguousarray(field, dtype=np.float32) for field in (data.input, data.output))
    return FieldSet(*fields, grid_of(data), data.checksum)


def background(path: str | Path, grid: dict, variables: tuple[str | None, str | None] = (None, None)) -> np.ndarray:
    """Read u_0, the output of the first sample of a file: (*shape).

    Raises
    ------
    ValueError
        If the file cannot be read or describes another map or grid; one line.
    """
    fields = read([path], 1, "background", variables)
    check_same_grid(grid, fields.grid, "background")
    return fields.output[0]


def over_signal(output: np.ndarray, background: np.ndarray) -> np.ndarray:
    """|u| / |u - u_0| of every sample, (samples,): turns an error relative to u into one relative to the signal."""
    solution, signal = (
        np.linalg.norm(field.reshape(len(field), -1).astype(np.float64), axis=1)
        for field in (output, output - background)
    )
    return solution / np.maximum(signal, np.finfo(float).tiny)


def read_sets(options: Namespace, *roles: str, grid: dict | None = None) -> dict[str, FieldSet]:
    """Read the data sets that a command line names (`mnn.command.add_sets`), by role.

    Raises
    ------
    ValueError
        As `read`; and if they do not lie on one grid: ``grid`` where it is given, else that of the first.
    """
    sets = {}
    for role in roles:
        sets[role] = read(getattr(options, role), getattr(options, f"n_{role}"), role, options.variables)
        check_same_grid(grid or sets[roles[0]].grid, sets[role].grid, role)
    return sets


def grid_of(data) -> dict:
    """Describe the grid and the two fields of a data set, JSON-ready."""
    shape = data.input.shape[1:]
    axes = {name: np.asarray(points, float).tolist() for name, points in data.coordinates.items()}
    grid = {"shape": list(shape), "axes": axes}
    for side in ("input", "output"):
        keys = {"name": "variable", "long_name": "long_name", "units": "units"}
        grid[side] = {key: str(data.attrs[f"{side}_{attribute}"]) for key, attribute in keys.items()}
    if "periodic" in data.attrs:
        grid["periodic"] = bool(int(data.attrs["periodic"]))
    return grid


def check_same_grid(grid: dict, other: dict, role: str) -> None:
    """Raise a one-line ValueError where two data sets do not describe the same map on the same grid."""
    for side in ("input", "output"):
        if grid[side]["name"] != other[side]["name"]:
            raise ValueError(f"{role}: {side} {other[side]['name']!r} found, {grid[side]['name']!r} expected")
    if not same_grid(grid, other["shape"], other["axes"]):
        raise ValueError(f"{role}: {describe_grid(other)} found, {describe_grid(grid)} expected")


def same_grid(grid: dict, shape: Sequence[int], axes: dict[str, Sequence[float]]) -> bool:
    """Whether fields of a shape, with points along some axes, lie on the grid."""
    if list(shape) != grid["shape"]:
        return False
    for name, points in axes.items():
        own = grid["axes"].get(name)
        if own is not None:
            spacing = abs(own[1] - own[0]) if len(own) > 1 else 1.0
            if len(points) != len(own) or not np.allclose(points, own, rtol=0, atol=1e-3 * spacing):
                return False
    return True


def describe_grid(grid: dict) -> str:
    """Say in a few words which grid it is: ``320 points, x from 0 to 0.997``."""
    axes = [f"{name} from {points[0]:.4g} to {points[-1]:.4g}" for name, points in grid["axes"].items()]
    return ", ".join([" x ".join(str(n) for n in grid["shape"]) + " points", *axes])
