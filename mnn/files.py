"""Safetensors files whose metadata is one JSON document."""

import json
from pathlib import Path

from torch import Tensor

from solvers.files import atomic

METADATA_KEY = "mnn"


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write named tensors and JSON-ready metadata as one safetensors file, atomically."""
    from safetensors.torch import save  # its save_file makes files that nobody else may read

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(own, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)}))


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict]:
    """Read what :func:`write_tensors` wrote.

    Parameters
    ----------
    path : path of the file
    kind : str
        The ``format`` the metadata must carry.

    Raises
    ------
    ValueError
        If the file is missing, truncated, foreign or of another kind; one line that names it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
    if metadata.get("format") != kind:
        raise ValueError(f"{path}: format {metadata.get('format')!r} found, {kind!r} expected")
    return tensors, metadata
