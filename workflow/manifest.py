"""What a run made: every result with the checksum of its content, what it was made from, and versions.

``python -m workflow.manifest write results/quick -o manifest.json``
``python -m workflow.manifest verify A B`` compares two manifests; with A alone, the files beside it.

Checksums are of content, so that two runs with the same numbers agree: of a data set its samples, of a model its
weights, of a history or table all but what was timed; a figure drawn from times is listed without one. Exit code 1
where results differ, 2 for a mistake.
"""

import argparse
import csv
import hashlib
import json
from pathlib import Path

from mnn import command

FORMAT = "mnn-h2 manifest 1"
FOLDERS = ("data", "models", "errors", "tables", "figures")
RATES = ("network_per_second", "fast_per_second", "straightforward_per_second", "over_fast", "over_straightforward")
TIMES = ("seconds", "samples_per_second", *RATES, "straightforward_error", "verdict")
"""Columns and keys that hold how long something took, or follow from it."""


def manifest(folder: Path) -> dict:
    """Describe every result of a tier.

    Raises
    ------
    ValueError
        If a file cannot be read; one line that names it.
    """
    names = sorted(path for part in FOLDERS for path in (folder / part).rglob("*") if path.suffix in READERS)
    results = {}
    for path in names:
        try:
            reader = of_times if drawn_from_times(folder, path) else READERS[path.suffix]
            results[path.relative_to(folder).as_posix()] = reader(path)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    return {"format": FORMAT, "tier": folder.resolve().name, "results": results}


def drawn_from_times(folder: Path, path: Path) -> bool:
    """Whether a file is a figure whose table holds times."""
    table = folder / "tables" / f"{path.stem}.csv"
    if path.parent != folder / "figures" or not table.exists():
        return False
    return not set(TIMES).isdisjoint(table.read_text().partition("\n")[0].split(","))


def of_times(path: Path) -> dict:
    """Describe a drawing of times: they differ from run to run."""
    return {"shows": "times"}


def of_bytes(path: Path) -> dict:
    """Describe a file that is its bytes."""
    return {"checksum": _text(hashlib.sha256(path.read_bytes()))}


def of_csv(path: Path) -> dict:
    """Describe a table without the columns of times."""
    content = hashlib.sha256()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            content.update(json.dumps([row[key] for key in row if key not in TIMES]).encode())
    return {"checksum": _text(content)}


def of_json(path: Path) -> dict:
    """Describe the checker's report on a shard, or a document as it is."""
    document = json.loads(path.read_text())
    if not path.name.endswith(".check.json"):
        return of_bytes(path)
    (shard,) = document["files"]
    return {"checksum": shard["checksum"], "spec": {"samples": shard["samples"], "shape": shard["shape"]}}


def of_netcdf(path: Path) -> dict:
    """Describe a netCDF file by its variables; of a shard also what it was made from."""
    import netCDF4
    import numpy as np

    content = hashlib.sha256()
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        for name, variable in sorted(file.variables.items()):
            content.update(f"{name} {variable.dtype} {variable.shape}".encode())
            content.update(np.ascontiguousarray(variable[...]).tobytes())
        attributes = file.__dict__
    found = {"checksum": _text(content)}
    if "spec" in attributes:
        found["spec"] = json.loads(attributes["spec"])
    if "source" in attributes:
        found["versions"] = attributes["source"]
    return found


def of_model(path: Path) -> dict:
    """Describe a model by its weights, its specification and its training."""
    from safetensors import SafetensorError, safe_open

    content = hashlib.sha256()
    try:
        with safe_open(path, framework="np") as file:
            for name in sorted(file.keys()):
                tensor = file.get_tensor(name)
                content.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
            metadata = json.loads((file.metadata() or {})["mnn"])
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    training = {key: value for key, value in metadata["training"].items() if key not in TIMES}
    spec = {"network": metadata["network"], "members": metadata["members"], "training": training}
    return {"checksum": _text(content), "spec": spec, "versions": metadata["versions"]}


READERS = {
    ".nc": of_netcdf,
    ".safetensors": of_model,
    ".csv": of_csv,
    ".json": of_json,
    ".pdf": of_bytes,
    ".png": of_bytes,
    ".svg": of_bytes,
}


def _text(content) -> str:
    return f"sha256:{content.hexdigest()}"


def differences(a: dict, b: dict) -> list[str]:
    """Name every result that is in one of two manifests only, or differs, and in what."""
    lines = []
    for name in sorted(a["results"].keys() | b["results"].keys()):
        here, there = a["results"].get(name), b["results"].get(name)
        if here is None or there is None:
            lines.append(f"{name}: only in {'the second' if here is None else 'the first'}")
            continue
        keys = [key for key in ("checksum", "spec", "versions") if here.get(key) != there.get(key)]
        if "checksum" in keys or "spec" in keys:
            lines.append(f"{name}: {' and '.join(keys)} differ")
    return lines


def read(path: Path) -> dict:
    """Read a manifest.

    Raises
    ------
    ValueError
        If the file is missing or none; one line.
    """
    try:
        document = json.loads(path.read_text())
        known = document["format"] == FORMAT and isinstance(document["results"], dict)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a manifest ({' '.join(str(error).split())})") from None
    if not known:
        raise ValueError(f"{path}: format {document['format']!r} found, {FORMAT!r} expected")
    return document


def verify(options: argparse.Namespace) -> int:
    """Compare two manifests, or one with the files beside it."""
    first = read(options.first)
    second = read(options.second) if options.second else manifest(options.first.parent)
    lines = differences(first, second)
    print("\n".join(lines) or f"{len(first['results'])} results, the same in both")
    return 1 if lines else 0


def write(options: argparse.Namespace) -> int:
    """Write the manifest of a folder of results."""
    options.output.write_text(json.dumps(manifest(options.folder), indent=1, sort_keys=True) + "\n")
    return 0


def main(arguments=None) -> int:
    """Run the command line."""
    parser = command.parser(__doc__.splitlines()[0], "python -m workflow.manifest write results/quick -o manifest.json")
    commands = parser.add_subparsers(required=True)
    writing = commands.add_parser("write", help="describe all results of a tier")
    writing.add_argument("folder", type=Path, help="results/TIER")
    writing.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="JSON file to write")
    writing.set_defaults(run=write)
    verifying = commands.add_parser("verify", help="compare two manifests, or one with its files")
    verifying.add_argument("first", type=Path, help="a manifest")
    verifying.add_argument("second", type=Path, nargs="?", help="another; default: the files beside the first")
    verifying.set_defaults(run=verify)
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    command.run(main)
