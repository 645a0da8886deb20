"""Files that appear whole or not at all, and safetensors files whose metadata is one JSON document."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

METADATA_KEY = "mnn"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; sync and rename it when the block ends, remove it when it fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove(path: str | Path) -> None:
    """Remove a file, and what a killed process may have left of its writing."""
    for name in (Path(path), _temporary(Path(path))):
        name.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def sync(path: Path) -> None:
    """Have the operating system put a file, or a folder's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
