"""What the command lines share: one thread a process, and one line for a user's mistake."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable

COMPILED = "MNN_H2_COMPILED"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_on_one_thread() -> None:
    """Start this process again with one thread a library, unless the environment says so already.

    Linear algebra libraries read the environment when they are loaded, and numpy is loaded before any function of
    this package can run. To be called, like `run_from_cache`, before MPI is initialised.
    """
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.environ.update(dict.fromkeys(THREADS, "1"))
        _start_again()


def run_from_cache(warm_up: Callable[[], None]) -> None:
    """Call ``warm_up``; if numba had to compile anything for it, start this process again.

    Code fresh from the compiler and the same code loaded from numba's cache may differ in their last bits: of a
    function that others inline, either can be linked to another copy, in which sums are ordered otherwise. So all
    work is done by code from the cache.
    """
    warm_up()
    if COMPILED not in os.environ and _compiled_anything():
        os.environ[COMPILED] = "1"  # where there is no place for a cache, once is enough
        _start_again()


def _compiled_anything() -> bool:
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("solvers.")]
    values = [value for module in modules for value in vars(module).values()]
    return any(sum(value.stats.cache_misses.values()) for value in values if hasattr(value, "nopython_signatures"))


def _start_again() -> None:
    """Replace this process by itself; it keeps its number and its open files, so mpiexec does not notice."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class Parser(argparse.ArgumentParser):
    """A parser that raises ValueError in place of printing its usage and leaving.

    Parameters
    ----------
    description : str
    example : str
        ``python -m MODULE ...``; it ends the help.
    """

    def __init__(self, description: str, example: str):
        shape = argparse.RawDescriptionHelpFormatter
        program, ending = " ".join(example.split()[:3]), f"example:\n  {example}"
        super().__init__(program, description=description, epilog=ending, formatter_class=shape, allow_abbrev=False)

    def error(self, message: str):
        """Raise ValueError with a one-line message."""
        raise ValueError(f"{message} (--help tells more)")


def progress(items: Iterable, total: int, unit: str) -> Iterable:
    """Give the items again, with a bar on a terminal and in silence elsewhere."""
    if not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    return tqdm(items, total=total, unit=f" {unit}", leave=False)


def json_object(text: str) -> dict:
    """Parse a command-line argument that is a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} given, a JSON object allowed ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} given, a JSON object allowed")
    return value


def one_line(error: Exception) -> str:
    """Return an exception's message without line breaks."""
    return " ".join(str(error).split())
