"""What the command lines share: one line and exit code 2 for a mistake, devices, threads, JSON arguments."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence


def run(main: Callable[[Sequence[str] | None], int | None]) -> None:
    """Run a command and exit: a mistake in its arguments or files is one line on standard error, exit code 2."""
    try:
        code = main(None)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    raise SystemExit(code or 0)


def parser(description: str, example: str) -> argparse.ArgumentParser:
    """Make a parser whose help ends with an example, ``python -m MODULE ...``; options cannot be abbreviated."""
    return argparse.ArgumentParser(
        prog=" ".join(example.split()[:3]),
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_device(arguments: argparse.ArgumentParser) -> None:
    """Add the options ``--device`` and ``--threads``."""
    arguments.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:1")
    arguments.add_argument("--threads", type=int, help="CPU threads; default: all cores")


def add_sets(arguments: argparse.ArgumentParser, *roles: str) -> None:
    """Add the options that `mnn.data.read_sets` reads: ``--train FILE...``, ``--n-train``, ..., ``--variables``."""
    for role in roles:
        arguments.add_argument(f"--{role}", required=True, nargs="+", metavar="FILE", help=f"netCDF shards, {role} set")
        text = f"samples of the {role} set to take, the first ones; default: all"
        arguments.add_argument(f"--n-{role}", type=int, metavar="SAMPLES", help=text)
    arguments.add_argument(
        "--variables",
        nargs=2,
        default=(None, None),
        metavar=("INPUT", "OUTPUT"),
        help="names of the two fields in netCDF files that do not tell",
    )


def add_member(arguments: argparse.ArgumentParser) -> None:
    """Add the option ``--member``."""
    arguments.add_argument("--member", help="number of the member to use, from 0; default: the mean over members")


def member(text: str | None, members: int) -> int | str:
    """Return the member that ``--member`` names, "mean" by default.

    Raises
    ------
    ValueError
        If there is no such member.
    """
    if text is None:
        return "mean"
    if not text.isdecimal() or int(text) >= members:
        raise ValueError(f"member: {text!r} given, 0 to {members - 1} allowed")
    return int(text)


LEAST_MB = 290
"""Data segment of a process that imports everything and works on one sample."""


def check_memory() -> None:
    """Refuse a limit (``ulimit -d``) too low to start with: libraries would wait for memory for ever.

    Raises
    ------
    ValueError
        One line with the limit.
    """
    with contextlib.suppress(ImportError):  # not a POSIX system
        import resource

        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
        if limit != resource.RLIM_INFINITY and limit < LEAST_MB * 2**20:
            raise ValueError(f"memory: limited to {limit >> 20} MB (ulimit -d), at least {LEAST_MB} MB needed")


def add_background(arguments: argparse.ArgumentParser) -> None:
    """Add the option ``--background``."""
    arguments.add_argument(
        "--background",
        metavar="FILE",
        help="netCDF file whose first output is u_0; with it, errors relative to the signal u - u_0 are measured too",
    )


def device(name: str, threads: int | None):
    """Return the torch device of a name and set the number of threads.

    Raises
    ------
    ValueError
        If there is no such device, the number of threads is not positive, or the process may not have the memory that
        any work takes.
    """
    check_memory()
    import torch

    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads: {threads} given, at least 1 allowed")
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: {name!r} given, auto, cpu, cuda or cuda:<number> allowed") from None
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device: {name!r} given, auto, cpu, cuda or cuda:<number> allowed")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: {name!r} given, this machine has {torch.cuda.device_count()} CUDA devices")
    return chosen


def json_object(text: str, option: str, known: Sequence[str] | None = None) -> dict:
    """Parse a JSON object given on the command line and refuse keys that are not ``known``."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{option}: {text} given, a JSON object expected")
    for key in value:
        if known is not None and key not in known:
            raise ValueError(f"{option}: key {key!r} given, {', '.join(known)} allowed")
    return value
