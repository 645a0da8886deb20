"""Time and memory of planning a study ten times the paper's: ``python -m benchmarks.workflow [TRAININGS SHARDS]``.

The study is generated: every data set of config.yaml under ten seeds, in small shards, and figures that sweep ranks,
depths and training samples. ``snakemake --dry-run`` plans it in a process of its own, in a folder without results.
"""

import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from math import ceil
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
FIELD = {"wells": 2, "sign": -1, "amplitude": "slab", "strength": [1, 4], "variance": [0.002, 0.004], "centre": [0, 1]}
SAMPLES = {"train": 20000, "validation": 2000, "test": 20000}
SETS = 20
NETWORK = {"architecture": "mnn-h2", "layers": "cnn", "padding": "periodic", "levels": 6}


def study(trainings: int, shards: int) -> dict:
    """A configuration with that many trainings and about that many shards."""
    shard = max(1, SETS * sum(SAMPLES.values()) // shards)
    problem = {"name": "nlse", "shape": [320], "beta": 10.0}
    common = {"problem": problem, "field": FIELD, "samples": SAMPLES, "shard": shard, "title": "NLSE"}
    per_set = ceil(trainings / SETS)
    ranks, depths = list(range(1, 11)), range(1, ceil(per_set / 10) + 1)
    networks = {f"k{depth}": {**NETWORK, "label": f"K = {depth}", "rank": 6, "depth": depth} for depth in depths}
    figure = {"title": "Error", "caption": "A study.", "kind": "error", "sweep": {"rank": ranks}}
    figures = {
        f"fig{i}-{name}": {**figure, "data_set": f"set{i}", "series": [{"network": name}]}
        for i in range(SETS)
        for name in networks
    }
    return {
        "tier": "paper",
        "tiers": {"paper": "a study ten times the paper's"},
        "data_sets": {f"set{i}": {**common, "seed": i} for i in range(SETS)},
        "networks": networks,
        "training": {"default": {"recipe": "default", "epochs": 200}},
        "figures": figures,
    }


def main() -> None:
    """Plan the study and print what it took."""
    trainings, shards = (int(text) for text in (sys.argv[1:] or (5000, 10000)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("workflow", "solvers", "mnn"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(ROOT / "Snakefile", folder)
        (folder / "config.yaml").write_text(yaml.safe_dump(study(trainings, shards)))
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(done.stdout)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    print(", ".join(f"{count} {rule}" for rule, count in jobs.items()))
    cpu = used.ru_utime + used.ru_stime
    print(f"{seconds:.0f} s elapsed, {cpu:.0f} s of CPU, {used.ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
