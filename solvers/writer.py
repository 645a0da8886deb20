"""Writing shards of a data set: block by block, complete and synced before they get their name."""

import math
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from solvers.dataset import AXES, Block, Checksum, DatasetError, Header
from solvers.files import atomic


class Writer:
    """A shard being written, a context manager: complete and renamed to ``path`` at its end, or removed.

    Blocks may come in any order. Nothing called ``path`` exists before all samples are written and synced.
    ``attributes`` may be added to until then.

    Parameters
    ----------
    path : path-like
    header : Header
    start, stop : int
        Range of sample indices of the shard.

    Raises
    ------
    DatasetError
        If the file cannot be written or there is no room for it.
    """

    def __init__(self, path: os.PathLike | str, header: Header, start: int, stop: int):
        self.path, self.header, self.start, self.stop = Path(path), header, start, stop
        self.written, self.attributes = 0, dict(header.attributes)
        self._file = None
        self._checksum, self._due, self._ahead = Checksum(), start, {}

    def __enter__(self) -> "Writer":
        itemsize = np.dtype(self.header.precision).itemsize
        needed = 2 * (self.stop - self.start) * math.prod(self.header.shape) * itemsize
        try:
            if self.path.is_dir():
                raise DatasetError(f"{self.path}: is a directory, the path of a file expected")
            with ExitStack() as stack:
                part = stack.enter_context(atomic(self.path))
                stack.callback(self._close)
                if (free := shutil.disk_usage(part.parent).free) < needed:
                    raise DatasetError(
                        f"{self.path}: {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free on the disk"
                    )
                self._create(part)
                self._stack = stack.pop_all()
        except (OSError, RuntimeError) as error:
            raise DatasetError(f"{self.path}: cannot be written ({error})") from None
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            with self._telling(), self._stack:
                self._complete()
        else:
            self._stack.__exit__(kind, error, traceback)

    def _create(self, path: Path) -> None:
        import netCDF4

        header, count = self.header, self.stop - self.start
        self._file = file = netCDF4.Dataset(path, "w", format="NETCDF4")
        file.set_fill_off()
        file.set_auto_mask(False)
        axes = header.axes[: len(header.shape)]
        sizes = {"sample": count} | dict(zip(axes, header.shape, strict=True))
        sizes |= {name: size for variable in header.variables for name, size in variable.dimensions}
        for name, size in sizes.items():
            file.createDimension(name, size)
        self._add("sample", "i8", ("sample",), long_name="index of the sample in the data set", units="1")
        for axis, letter, points in zip(axes, AXES, header.coordinates, strict=False):
            self._add(axis, "f8", (axis,), long_name=f"coordinate along {axis}", units="1", axis=letter.upper())
            file[axis][:] = points
        for quantity in (header.input, header.output):
            attributes = {"long_name": quantity.long_name, "units": quantity.units, "symbol": quantity.symbol}
            self._add(quantity.name, header.precision, ("sample", *axes), **attributes)
        for variable in header.variables:
            dimensions = ("sample", *(name for name, _ in variable.dimensions))
            self._add(variable.name, variable.dtype, dimensions, long_name=variable.long_name, units="1")
        file["sample"][:] = np.arange(self.start, self.stop)

    def _add(self, name: str, dtype: str, dimensions: tuple[str, ...], **attributes) -> None:
        variable = self._file.createVariable(name, dtype, dimensions, contiguous=True, endian="little")
        variable.setncatts(attributes)

    def write(self, block: Block) -> None:
        """Write a block that lies within the shard."""
        rows = slice(block.start - self.start, block.stop - self.start)
        with self._telling():
            for position, quantity in enumerate((self.header.input, self.header.output)):
                self._file[quantity.name][rows] = block.fields[:, position]
            for variable in self.header.variables:
                self._file[variable.name][rows] = block.extras[variable.name]
        self.written += len(block.fields)
        self._ahead[block.start] = block.stop
        self._hash(block)

    def _hash(self, block: Block) -> None:
        """Hash what has become consecutive: ``block`` from memory, blocks that came too early from the file."""
        while self._due in self._ahead:
            stop = self._ahead.pop(self._due)
            fields = block.fields
            if self._due != block.start:
                rows = slice(self._due - self.start, stop - self.start)
                fields = np.stack([self._file[q.name][rows] for q in (self.header.input, self.header.output)], 1)
            self._checksum.update(fields)
            self._due = stop

    def _complete(self) -> None:
        if self._due != self.stop or self._ahead:
            raise DatasetError(f"{self.path}: samples from {self._due} on were never written")
        header = self.header
        names = {"input_variable": header.input.name, "output_variable": header.output.name}
        bounds = {"start": self.start, "stop": self.stop, "checksum": self._checksum.text()}
        self._file.setncatts({"Conventions": "CF-1.11"} | self.attributes | names | bounds)
        self._file.close()

    def _close(self) -> None:
        # What went wrong is told already; that the incomplete file cannot be closed either (disk full) adds nothing.
        with suppress(OSError, RuntimeError):
            if self._file is not None and self._file.isopen():
                self._file.close()

    @contextmanager
    def _telling(self):
        """Turn the errors of writing into one line that names the file."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise DatasetError(f"{self.path}: cannot be written, is the disk full? ({error})") from None


def write(path: os.PathLike | str, header: Header, block: Block) -> None:
    """Write one shard that is in memory."""
    with Writer(path, header, block.start, block.stop) as writer:
        writer.write(block)
