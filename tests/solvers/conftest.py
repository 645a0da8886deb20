"""Small data sets written without any solver."""

import numpy as np
import pytest

from solvers.dataset import Block, Header, Variable
from solvers.problem import Quantity
from solvers.writer import write


class Samples:
    """Random samples of one data set, and shards of them on disk."""

    def __init__(self, folder, shape=(6, 4), count=20, precision="float32"):
        self.folder, self.count = folder, count
        generator = np.random.default_rng(7)
        self.fields = generator.standard_normal((count, 2, *shape)).astype(precision)
        self.residual = generator.random(count)
        axes = tuple(np.arange(n) / n for n in shape)
        quantities = (
            Quantity("potential", "V", "background potential", "J"),
            Quantity("density", "rho", "density", "m-2"),
        )
        extra = (Variable("residual", "f8", "residual"),)
        self.header = Header(*quantities, axes, {"title": "noise", "spec": "{}"}, extra, precision)

    def block(self, start, stop):
        return Block(start, self.fields[start:stop], {"residual": self.residual[start:stop]})

    def shard(self, start, stop, header=None):
        path = self.folder / f"{start}-{stop}.nc"
        write(path, header or self.header, self.block(start, stop))
        return path


@pytest.fixture
def samples(tmp_path):
    return Samples(tmp_path)
