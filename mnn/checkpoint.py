"""Checkpoints: a training in progress as one file, from which it goes on as if it had never stopped."""

from pathlib import Path

from mnn.files import read_tensors, write_tensors
from mnn.training import Training

FORMAT = "mnn-h2 checkpoint 1"


def save(path: str | Path, training: Training, identity: dict) -> None:
    """Write a training's whole state, atomically.

    Parameters
    ----------
    path : path of the file
    training : Training
    identity : dict
        JSON-ready: what the training is (network, recipe, seeds, data); only the same may go on from it.
    """
    tensors, values = training.state()
    write_tensors(path, tensors, {"format": FORMAT, "identity": identity, "progress": values})


def resume(path: str | Path, training: Training, identity: dict) -> bool:
    """Take up a checkpoint where there is one; return whether there was.

    Raises
    ------
    ValueError
        If the file is not a checkpoint or belongs to another training; one line naming file and difference.
    """
    if not Path(path).exists():
        return False
    tensors, metadata = read_tensors(path, FORMAT)
    difference = _difference(metadata["identity"], identity)
    if difference:
        raise ValueError(f"{path}: a checkpoint of another training ({difference}); remove it or name another file")
    training.load(tensors, metadata["progress"])
    return True


def _difference(found: dict, expected: dict, prefix: str = "") -> str:
    """Name the first key whose value differs: ``network.rank: 4 there, 6 asked for``."""
    for key in sorted(found.keys() | expected.keys()):
        there, here = found.get(key), expected.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            if inner := _difference(there, here, f"{prefix}{key}."):
                return inner
        elif there != here:
            return f"{prefix}{key}: {there!r} there, {here!r} asked for"
    return ""
