"""What all tests share: one thread for linear algebra, copies of the project, a finished tiny study."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

# small matrices, many processes: one thread for every linear algebra library, here and in all that is started
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
TINY = Path(__file__).with_name("tiny.yaml")


@pytest.fixture(scope="session")
def tiny():
    """The tiny study as a mapping."""
    return yaml.safe_load(TINY.read_text())


class Clone:
    """A copy of the project in a folder of its own, with the tiny study as its config.yaml."""

    def __init__(self, folder: Path):
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file() or (ROOT / name).is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        for kernel in [*(ROOT / "mnn").rglob("*.nb[ic]"), *(ROOT / "solvers").rglob("*.nb[ic]")]:
            (folder / kernel.relative_to(ROOT)).parent.mkdir(exist_ok=True)
            shutil.copy2(kernel, folder / kernel.relative_to(ROOT))  # what is compiled serves every copy
        shutil.copy2(TINY, folder / "config.yaml")

    def copy(self, folder: Path) -> "Clone":
        """Another clone with the same files and results."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        other = object.__new__(Clone)
        other.folder = folder
        return other

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    def snakemake(self, *arguments: str, timeout: float = 800) -> subprocess.CompletedProcess:
        command = self.command(*arguments)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=timeout)

    def run(self, *arguments: str) -> None:
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs of a dry run: how many of each rule; those that describe whatever is made are left out."""
        done = self.snakemake("--dry-run", *arguments)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        if "Nothing to be done" in text:
            return {}
        stats = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", text, re.DOTALL).group(1)
        counts = {line.split()[0]: int(line.split()[1]) for line in stats.splitlines()}
        return {rule: count for rule, count in counts.items() if rule not in ("all", "manifest", "card")}

    def configure(self, change) -> None:
        """Change config.yaml by a function on its mapping."""
        file = self.folder / "config.yaml"
        config = yaml.safe_load(file.read_text())
        change(config)
        file.write_text(yaml.safe_dump(config, sort_keys=False))

    def results(self, *suffixes: str) -> dict[str, bytes]:
        """Contents of the results with some suffixes."""
        files = (p for p in (self.folder / "results").rglob("*") if p.suffix in suffixes and "logs" not in p.parts)
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in sorted(files)}


@pytest.fixture
def clone(tmp_path):
    """A fresh copy of the project without results."""
    return Clone(tmp_path / "clone")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A copy of the project without results, for all tests of a module."""
    return Clone(tmp_path_factory.mktemp("fresh") / "clone")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A copy in which the tiny study has run; do not change it, ``copy`` it."""
    made = Clone(tmp_path_factory.mktemp("finished") / "clone")
    made.run()
    return made
