"""Model files: trained weights with all it takes to use them, as safetensors and JSON."""

import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mnn.files import read_tensors, write_tensors
from mnn.networks import network as build
from mnn.normalise import Normalisation

FORMAT = "mnn-h2 model 1"
NORMALISATION = "normalisation."


@dataclass(frozen=True)
class Model:
    """A trained network with its normalisation, grid and record.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode, with all members.
    normalisation : Normalisation
    grid : dict
        See :class:`mnn.data.FieldSet`.
    record : dict
        How it was trained: ``recipe``, ``epochs``, ``seeds``, ``data`` (checksums and counts), ``seconds``, ...
    """

    network: torch.nn.Module
    normalisation: Normalisation
    grid: dict
    record: dict


def save(path: str | Path, weights: dict[str, Tensor], model: Model) -> None:
    """Write a model with the given weights (the network's own or an average of them), atomically."""
    tensors = dict(weights)
    tensors |= {NORMALISATION + name: tensor for name, tensor in model.normalisation.tensors().items()}
    metadata = {
        "format": FORMAT,
        "network": model.network.spec.to_dict(),
        "members": model.network.members,
        "grid": model.grid,
        "training": model.record,
        "versions": versions(),
    }
    write_tensors(path, tensors, metadata)


def load(path: str | Path) -> Model:
    """Read a model.

    Raises
    ------
    ValueError
        If the file is missing, damaged or not a model; one line that names it.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    try:
        return _assemble(tensors, metadata)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged, not a whole model ({' '.join(str(error).split())})") from None


def _assemble(tensors: dict[str, Tensor], metadata: dict) -> Model:
    statistics = {name: tensors.pop(name) for name in list(tensors) if name.startswith(NORMALISATION)}
    normalisation = Normalisation.from_tensors({k.removeprefix(NORMALISATION): v for k, v in statistics.items()})
    network = build(**metadata["network"], members=metadata["members"])
    network.load_state_dict(tensors)
    return Model(network.eval(), normalisation, metadata["grid"], metadata["training"])


def versions() -> dict[str, str]:
    """Versions of what computed the weights."""
    import numpy

    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
