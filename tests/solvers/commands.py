"""Command lines as a user types them, for the tests of the entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

from solvers.command import THREADS

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
PROBLEM = {"name": "nlse", "shape": [24], "beta": 10.0}
FIELD = {"wells": 2, "strength": [1, 4], "variance": [0.002, 0.004], "centre": [0, 1]}


def generate_arguments(output, /, start=0, stop=600, **changes):
    """Arguments of solvers.generate as text; a change to None leaves an option out."""
    options = {"problem": PROBLEM, "field": FIELD, "seed": 3, "split": "test", "start": start, "stop": stop}
    options |= {"output": str(output)} | changes
    arguments = []
    for name, value in options.items():
        if value is not None:
            arguments += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return arguments


def run(module, arguments, ranks=0, program=None, **environment):
    """Run a module, under mpiexec if ranks are given; ``program`` is Python code in place of the module."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks else []
    what = ["-m", module] if program is None else ["-c", program]
    command = [*launcher, sys.executable, *what, *(str(argument) for argument in arguments)]
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
