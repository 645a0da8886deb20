"""Pages of the documentation, followed to the letter: their files are written, their commands run, outputs compared.

A fenced block with a ``title`` is a file; a ``console`` block is commands, each after ``$ `` and followed by what it
prints; ``...`` stands for lines left out. Numbers and checksums are not compared: another machine rounds otherwise.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"sha256:[0-9a-f]+|\d+(\.\d+)?(e[+-]\d+)?")


def follow(page: Path, folder: Path) -> int:
    """Do what a page says in a folder; return how many commands it has."""
    commands = 0
    for language, title, text in BLOCK.findall(page.read_text()):
        if title:
            (folder / title).write_text(text)
        elif language == "console":
            for command, expected in sessions(text):
                printed = output(command, folder)
                assert re.fullmatch(pattern(expected), masked(printed)), f"{command} printed\n{printed}"
                commands += 1
    return commands


def sessions(text: str):
    """Commands of a console block with what each prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def output(command: str, folder: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    return done.stdout


def pattern(expected: str) -> str:
    """Regular expression of a masked output."""
    parts = re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE)
    return r"(?s:.*)".join(re.escape(masked(part)) for part in parts)


def masked(text: str) -> str:
    """Lines that say something, numbers and runs of blanks hidden."""
    lines = (" ".join(NUMBER.sub("#", line).split()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)
