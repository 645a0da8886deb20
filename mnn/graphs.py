"""CUDA graphs: what a step launches is recorded once and then launched at once."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)

WARM_UP = 3
"""Runs before the recording, in which libraries choose their algorithms and make their work space."""


def captured(work: Callable[[], None], *sums: Tensor) -> Callable[[], None]:
    """Return a function that does what ``work`` does, as one launch of a CUDA graph.

    Parameters
    ----------
    work : callable
        Does the same operations on the same memory each time, without waiting for the GPU.
    *sums : Tensor
        What it adds to, left as it was; on the GPU that is meant.

    Returns
    -------
    callable
        ``work`` itself where it cannot be recorded; a line in the log then says why.
    """
    before = [total.clone() for total in sums]
    try:
        return _record(work, sums[0].device).replay
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        log.warning("no CUDA graph, every operation is launched by itself: %s", str(error).partition("\n")[0])
        return work
    finally:
        for total, value in zip(sums, before, strict=True):
            total.copy_(value)


def _record(work: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        side, own = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(own)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                work()
        own.wait_stream(side)
        with torch.cuda.graph(graph):
            work()
    return graph
