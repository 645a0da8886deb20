"""Writing small netCDF-4 files from named arrays, atomically."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from solvers.files import atomic


@dataclass(frozen=True)
class Variable:
    """Values with named dimensions and attributes."""

    dimensions: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, str] = field(default_factory=dict)


def write(path: str | Path, variables: Mapping[str, Variable], attributes: Mapping) -> None:
    """Write variables (dimensions get their sizes from them) and global attributes as one netCDF-4 file."""
    import netCDF4

    with atomic(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        for name, variable in variables.items():
            for dimension, size in zip(variable.dimensions, np.shape(variable.values), strict=True):
                if dimension not in file.dimensions:
                    file.createDimension(dimension, size)
            created = file.createVariable(name, variable.values.dtype, variable.dimensions, fill_value=False)
            created.setncatts(dict(variable.attributes))
            created[...] = variable.values
        file.setncatts(dict(attributes))
