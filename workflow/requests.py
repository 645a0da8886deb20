"""Memory and time that jobs ask for, by the size of their work and the number of the attempt.

The constants are the largest values seen in the benchmark records of finished runs (``max_rss``, ``s``; one core),
with the margin that is named beside each. A job that fails is tried again with as much again.
"""

from math import ceil, prod

MB = 2**20


def fields_mb(samples: int, shape) -> float:
    """Size of that many pairs of fields in float32."""
    return 2 * 4 * samples * prod(shape) / MB


def solver_memory(ranks: int, attempt: int) -> int:
    """MB for a shard: ranks hold a few blocks whatever the size of the shard; 265 MB a rank seen."""
    return attempt * 500 * ranks


def solver_minutes(samples: int, shape, ranks: int, attempt: int) -> int:
    """Minutes for a shard: 10 and a tenth of the lowest rate seen, 1.7e6 points a second and rank."""
    return attempt * ceil(10 + samples * prod(shape) / (60 * 1.7e5 * ranks))


def network_memory(samples: int, shape, attempt: int) -> int:
    """MB to train or evaluate: 480 seen with next to no data, and 3 times the fields; twice that is asked for."""
    return attempt * ceil(1000 + 6 * fields_mb(samples, shape))


def training_minutes(visits: int, shape, attempt: int) -> int:
    """Minutes to train: 15 and a fifth of the rate of one core, 5e6 points a second (r = 6, K = 5).

    Parameters
    ----------
    visits : int
        Samples times epochs times members.
    """
    return attempt * ceil(15 + visits * prod(shape) / (60 * 1e6))
