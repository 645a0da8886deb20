"""Commands that a page tells its reader to type, checked without being run: every name and option in them exists.

Programs of this project parse their arguments for real; of others, files of the repository that they name must exist.
"""

import argparse
import glob
import importlib
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import yaml
from snakemake.cli import get_argument_parser

from workflow.study import study

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"([A-Z_]+|my_\w+)(\.\w+)?")
"""FILE, INPUT.nc, my_figure: something of the reader's own."""
OURS = ("mnn", "solvers", "workflow", "benchmarks")
MADE = ("results/", ".snakemake/", ".venv/")
"""Folders that are not in a clone."""


class Parsed(BaseException):
    """A program has understood its command line."""


def commands(text: str) -> Iterator[list[str]]:
    """Words of every command of a shell script: comments left out, lines joined, pipes and && taken apart."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        words.whitespace_split, words.commenters = True, "#"
        command = []
        for word in words:
            if set(word) <= set("&|;"):
                yield command
                command = []
            else:
                command.append(word)
        if command:
            yield command


def check(words: list[str]) -> None:
    """Fail with an AssertionError that says what of a command does not exist."""
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program, *arguments = words
    name = Path(program).name
    assert name in PROGRAMS, f"{program}: nothing is known of this program; add it to PROGRAMS"
    PROGRAMS[name](arguments)


def check_make(arguments: list[str]) -> None:
    """Targets and variables are in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for argument in arguments:
        name, is_variable, _ = argument.partition("=")
        kind = rf"^{name} +[?:]?=" if is_variable else rf"^{name}:"
        assert re.search(kind, makefile, re.MULTILINE), f"make {argument}: the Makefile has no {name}"


def check_python(arguments: list[str]) -> None:
    """Modules exist and understand their arguments; files exist."""
    if arguments[0] == "-m":
        check_module(arguments[1], arguments[2:])
    elif arguments[0] != "-c":
        check_files(arguments)


def check_module(name: str, arguments: list[str]) -> None:
    """Let a module's own parser read the arguments; without arguments, or a parser, it has to exist."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        spec = None
    assert spec is not None, f"python -m {name}: no such module"
    if spec.submodule_search_locations:
        check_module(f"{name}.__main__", arguments)
    elif arguments and name.partition(".")[0] in OURS and "parse" in Path(spec.origin).read_text():
        printed = StringIO()
        with patch.object(sys, "argv", [name, *arguments]), redirect_stdout(printed), redirect_stderr(printed):
            understood = _understands(name)
        assert understood, f"python -m {name} {shlex.join(arguments)}: {printed.getvalue()}"


def _understands(name: str) -> bool:
    read = argparse.ArgumentParser.parse_args

    def stop(parser, *arguments):
        read(parser, *arguments)
        raise Parsed

    with patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            importlib.import_module(name).main()
        except Parsed:
            return True
        except (ValueError, SystemExit) as error:
            print(error)
    return False


def run(words: Iterable[str]) -> None:
    """Run ``python -m module ...`` in this process, file names completed as a shell does."""
    python, option, module, *arguments = words
    assert (python, option) == ("python", "-m"), f"{python} {option}: only modules are run"
    complete = [match for word in arguments for match in (sorted(glob.glob(word)) or [word])]
    with redirect_stdout(StringIO()) as printed, redirect_stderr(printed):
        code = importlib.import_module(module).main(complete)
    assert not code, printed.getvalue()


def check_snakemake(arguments: list[str]) -> None:
    """Options are Snakemake's; targets are rules, figures, or files that the reader makes."""
    options, unknown = get_argument_parser().parse_known_args(arguments)
    assert not unknown, f"snakemake: unknown {unknown}"
    for profile in [*(options.profile or []), *filter(None, [options.workflow_profile])]:
        assert (ROOT / profile / "config.yaml").exists(), f"snakemake --profile {profile}: no such profile"
    known = targets()
    for target in options.targets:
        assert target in known or PLACEHOLDER.fullmatch(target) or "/" in target, f"snakemake {target}: no such target"


@cache
def targets() -> set[str]:
    """Names that may stand behind ``snakemake``."""
    rules = "\n".join(path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")])
    figures = study(yaml.safe_load((ROOT / "config.yaml").read_text())).config.figures
    return {*re.findall(r"^\s*rule (\w+):", rules, re.MULTILINE), *figures, *(name.rstrip("abc") for name in figures)}


def check_files(arguments: list[str]) -> None:
    """Arguments that look like files of the repository are there."""
    for argument in arguments:
        path = argument.partition("::")[0]
        if "/" in path and not path.startswith(("-", "/", "$", "<", "~", "http", "..", *MADE)):
            assert (ROOT / path).exists(), f"{argument}: no such file"


def anything(arguments: list[str]) -> None:
    """Nothing of the project is named."""


PROGRAMS = {
    "make": check_make,
    "python": check_python,
    "snakemake": check_snakemake,
    "pytest": check_files,
    "$EDITOR": check_files,
    "apptainer": check_files,
    "git": anything,
    "cd": anything,
    "export": anything,
}
"""Programs that pages may tell a reader to type."""
