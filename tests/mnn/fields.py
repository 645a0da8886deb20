"""A small nonlinear map between periodic fields, known in closed form, as arrays and as shards."""

import numpy as np

from solvers.dataset import Block, Header
from solvers.problem import Quantity
from solvers.writer import write

POINTS = 32
NETWORK = {"levels": 3, "rank": 2, "depth": 2}
X = np.arange(POINTS) / POINTS
VELOCITY = Quantity("velocity", "v", "velocity of the stream", "m s-1")
DENSITY = Quantity("density", "u", "density of the stream", "kg m-3")


def pairs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of three random waves v, and u = 2 + (v smoothed) + 0.1 v²: (count, 32) float32 each."""
    amplitude, phase = np.random.default_rng(seed).uniform(-1, 1, (2, count, 3, 1))
    waves = 2 * np.pi * np.arange(1, 4)[:, None] * X
    v = 1 + (amplitude * np.cos(waves + np.pi * phase)).sum(axis=1)
    u = 2 + (np.roll(v, 1, axis=1) + v + np.roll(v, -1, axis=1)) / 3 + 0.1 * v**2
    return v.astype(np.float32), u.astype(np.float32)


def shard(path, count: int, seed: int, x: np.ndarray = X, pair=None) -> str:
    """Write one shard of the map (or of a given pair of fields) and return its path."""
    fields = np.stack(pair or pairs(count, seed), axis=1)
    header = Header(VELOCITY, DENSITY, (x,), {"title": "a stream", "periodic": 1})
    write(path, header, Block(0, fields))
    return str(path)
