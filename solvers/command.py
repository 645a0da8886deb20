"""What the command lines share: one thread a process, and one line for a user's mistake."""

import argparse
import json
import os
import sys

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_on_one_thread() -> None:
    """Start this process again with one thread a library, unless the environment says so already.

    Linear algebra libraries read the environment when they are loaded, and numpy is loaded before any function of
    this package can run. The process keeps its number and its open files, so this works under mpiexec, before MPI
    is initialised.
    """
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.environ.update(dict.fromkeys(THREADS, "1"))
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class Parser(argparse.ArgumentParser):
    """A parser that raises ValueError in place of printing its usage and leaving."""

    def error(self, message: str):
        """Raise ValueError with a one-line message."""
        raise ValueError(f"{message} (--help tells more)")


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
