"""Errors of a trained model on whole data sets, and the samples worth looking at."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from mnn.data import FieldSet
from mnn.model_file import Model
from mnn.training import EVALUATION_CHUNK, Samples, by_member, errors
from solvers.command import progress


@dataclass(frozen=True)
class Examples:
    """Samples spread over the range of errors, from the best to the worst.

    Attributes
    ----------
    index : (k,)
        Their places in the test set.
    input, target : (k, *shape)
    prediction : (members, k, *shape)
        All in physical units.
    """

    index: np.ndarray
    input: np.ndarray
    target: np.ndarray
    prediction: np.ndarray


def relative_errors(model: Model, fields: FieldSet, device: torch.device) -> np.ndarray:
    """Relative error (4.1) of every member on every sample: (members, samples), float32. A bar shows on a terminal."""
    network, parts = model.network.to(device), []
    starts = range(0, len(fields), EVALUATION_CHUNK)
    for start in progress(starts, len(starts), "batches"):
        part = slice(start, start + EVALUATION_CHUNK)
        samples = Samples.prepare(fields.input[part], fields.output[part], model.normalisation, torch.device(device))
        parts.append(errors(network, samples).cpu().numpy())
    return np.concatenate(parts, axis=1)


def examples(model: Model, fields: FieldSet, test_error: np.ndarray, count: int, device: torch.device) -> Examples:
    """Choose ``count`` samples at equal steps of rank by the median error over members, best and worst included."""
    ranked = np.argsort(np.median(test_error, axis=0), kind="stable")
    index = ranked[np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int))]
    inputs = torch.from_numpy(fields.input[index]).to(device)
    normalisation = model.normalisation.to(device)
    with torch.no_grad():
        outputs = by_member(model.network.to(device), normalisation.input.apply(inputs))
    prediction = normalisation.prediction(inputs, outputs).cpu().numpy()
    return Examples(index, fields.input[index], fields.output[index], prediction)


@torch.no_grad()
def inference_rate(model: Model, fields: FieldSet, device: torch.device, seconds: float = 0.3) -> float:
    """Samples through a network in a second, counted for every member, measured for at least ``seconds``."""
    batch = torch.from_numpy(fields.input[:EVALUATION_CHUNK]).to(device)
    network = model.network.to(device)
    by_member(network, batch).cpu()
    passes, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        by_member(network, batch).cpu()
        passes += 1
    return passes * len(batch) * network.members / (time.perf_counter() - begun)
