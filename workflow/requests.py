"""Memory and time that jobs ask for, by the size of their work.

The constants are the largest values seen in the benchmark records of finished runs (``max_rss``, ``s``; one core),
with the margin that is named beside each. The rules multiply them by the number of the attempt.
"""

from math import ceil, prod

from workflow.study import SPLITS, Study

MB = 2**20


def fields_mb(samples: int, shape) -> float:
    """Size of that many pairs of fields in float32."""
    return 2 * 4 * samples * prod(shape) / MB


def solver_memory(ranks: int) -> int:
    """MB for a shard: ranks hold a few blocks whatever the size of the shard; 265 MB a rank seen."""
    return 500 * ranks


def solver_minutes(samples: int, shape, ranks: int) -> int:
    """Minutes for a shard: 10 and a tenth of the lowest rate seen, 1.7e6 points a second and rank."""
    return ceil(10 + samples * prod(shape) / (60 * 1.7e5 * ranks))


def network_memory(samples: int, shape) -> int:
    """MB to train or evaluate: 480 seen with next to no data, and 3 times the fields; twice that is asked for."""
    return ceil(1000 + 6 * fields_mb(samples, shape))


def training_minutes(visits: int, shape) -> int:
    """Minutes to train: 15 and a fifth of the rate of one core, 5e6 points a second (r = 6, K = 5).

    Parameters
    ----------
    visits : int
        Samples times epochs times members.
    """
    return ceil(15 + visits * prod(shape) / (60 * 1e6))


def largest(study: Study) -> tuple[int, int, int]:
    """MB and minutes of the largest training, MB of the largest evaluation."""
    training, minutes, evaluation = [], [], []
    for experiment in study.experiments.values():
        data = study.data[experiment.data]
        visits = experiment.n_train * experiment.training["epochs"] * experiment.members
        training.append(network_memory(experiment.n_train + data.samples["validation"], data.shape))
        minutes.append(training_minutes(visits, data.shape))
        evaluation.append(network_memory(sum(data.samples[split] for split in SPLITS), data.shape))
    return max(training), max(minutes), max(evaluation)
