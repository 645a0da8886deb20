"""Pages of the documentation, followed to the letter: their files are written, their commands run, outputs compared.

A fenced block with a ``title`` is a file; a ``console`` block is commands, each after ``$ `` and followed by what it
prints. Numbers are compared to the number of them alone: another machine rounds otherwise.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]\d+)?")


def follow(page: Path, folder: Path) -> int:
    """Do what a page says in a folder; return how many commands it has."""
    commands = 0
    for language, title, text in BLOCK.findall(page.read_text()):
        if title:
            (folder / title).write_text(text)
        elif language == "console":
            for command, expected in sessions(text):
                assert masked(output(command, folder)) == masked(expected), command
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


def masked(text: str) -> list[str]:
    """Lines that say something, numbers hidden."""
    return [NUMBER.sub("#", line.rstrip()) for line in text.splitlines() if line.strip()]
