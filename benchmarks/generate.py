"""Where the time of making data goes, and what a second rank brings: ``python -m benchmarks.generate``.

The work of one rank is taken apart (drawing parameters, evaluating fields, solving, writing), then the command line
is run, in turns, with one rank, as several jobs of one rank at once, and as one job of several ranks. The jobs at
once share the machine's memory and clock but not their work: the job of several ranks is judged by them as well as
by the multiple of one rank, which a busy machine does not give to anybody. One thread a rank.
"""

import argparse
import csv
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from solvers.command import run_on_one_thread

if __name__ == "__main__":
    run_on_one_thread()  # before anything heavy is imported

from solvers.specification import Specification
from solvers.writer import Writer

WELLS = {"wells": 2, "strength": [1, 4], "variance": [2e-3, 4e-3], "centre": [0, 1]}
BUMPS = {"wells": 2, "strength": [0.1, 0.3], "variance": [2e-3, 4e-3], "centre": [0.2, 0.8], "sign": 1}
ELECTRONS = {"wells": 2, "strength": [0.8, 1.2], "centre": [-1, 1], "amplitude": "plain"}
CASES = {
    "nlse_1d": ({"name": "nlse", "shape": [320]}, WELLS, 40_960),
    "nlse_2d": ({"name": "nlse", "shape": [80, 80]}, WELLS, 4_096),
    "rte_1d": ({"name": "rte", "shape": [320]}, BUMPS, 20_480),
    "rte_2d": ({"name": "rte", "shape": [80, 80]}, BUMPS | {"strength": [0.01, 0.03]}, 2_048),
    "kohn_sham_1d": (
        {"name": "kohn_sham", "shape": [320], "n_electrons": 2},
        ELECTRONS | {"variance": [0.0025, 0.0025], "separation": 0.1},
        20_480,
    ),
    "kohn_sham_2d": (
        {"name": "kohn_sham", "shape": [64, 64], "n_electrons": 2},
        ELECTRONS | {"variance": [0.04, 0.04], "separation": 0.4},
        4_096,
    ),
}
"""Name -> problem, field and number of samples."""
PARTS = ("drawing", "evaluating", "solving", "packing", "writing")
TURNS = 3


def take_apart(specification: Specification, count: int, folder: Path) -> dict[str, float]:
    """Microseconds a sample that one rank spends drawing, evaluating, solving, packing and writing."""
    size, seconds, writer = specification.problem.block_size, dict.fromkeys(PARTS, 0.0), None
    specification.block(0)

    def timed(part, function, *arguments):
        began = time.perf_counter()
        result = function(*arguments)
        seconds[part] += time.perf_counter() - began
        return result

    writer = Writer(folder / "parts.nc", specification.header(), 0, count)
    timed("writing", writer.__enter__)
    for start in range(0, count, size):
        drawn = timed("drawing", specification.draw, start, start + size)
        field = timed("evaluating", specification.fields, drawn)
        solution = timed("solving", specification.problem.solve, field)
        block = timed("packing", specification.pack, start, field, drawn, solution)
        timed("writing", writer.write, block.crop(0, count))
    timed("writing", writer.__exit__, None, None, None)
    return {part: 1e6 * value / count for part, value in seconds.items()}


def start(name: str, first: int, last: int, path: Path, ranks: int) -> subprocess.Popen:
    """Start the command line for samples first..last-1."""
    problem, field, _ = CASES[name]
    options = {"problem": json.dumps(problem), "field": json.dumps(field), "seed": 1, "split": "train"}
    options |= {"start": first, "stop": last, "output": path}
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    launcher = [shutil.which("mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, "-m", "solvers.generate", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(job: subprocess.Popen) -> float:
    """Wait for a job; samples per second as it reports them, from its first block on."""
    output, _ = job.communicate()
    if job.returncode:
        raise subprocess.CalledProcessError(job.returncode, job.args)
    return float(re.search(r"\((\d+) samples/s", output.splitlines()[-1]).group(1))


def turn(name: str, ranks: int, folder: Path) -> dict[str, float]:
    """Rates of one rank, of several jobs of one rank at once, and of one job of several ranks, one after the other."""
    count, part = CASES[name][2], CASES[name][2] // ranks
    alone = finish(start(name, 0, part, folder / "alone.nc", 1))
    jobs = [start(name, n * part, (n + 1) * part, folder / f"{n}.nc", 1) for n in range(ranks)]
    apart = sum([finish(job) for job in jobs])
    return {"alone": alone, "apart": apart, "together": finish(start(name, 0, count, folder / "together.nc", ranks))}


def measure(name: str, ranks: int, folder: Path) -> dict:
    """Measure one case: the parts of one rank, and the medians of turns with all ranks."""
    problem, field, count = CASES[name]
    specification = Specification.make(problem, field, seed=1, split="train")
    row = {"case": name, "samples": count, "ranks": ranks} | take_apart(specification, count, folder)
    turns = [turn(name, ranks, folder) for _ in range(TURNS)]
    row |= {key: statistics.median(found[key] for found in turns) for key in turns[0]}
    row["efficiency"] = statistics.median(found["together"] / (ranks * found["alone"]) for found in turns)
    row["efficiency_apart"] = statistics.median(found["together"] / found["apart"] for found in turns)
    return row


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="a case to measure (may be repeated; all)")
    parser.add_argument("--ranks", type=int, default=2, help="ranks (2)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    rows = []
    for name in options.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(name, options.ranks, Path(folder)))
        _tell(rows[-1])
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return 0


def _tell(row: dict) -> None:
    print(f"{row['case']}: us a sample on one rank: " + ", ".join(f"{part} {row[part]:.1f}" for part in PARTS))
    rates = f"one rank {row['alone']:.0f}, {row['ranks']} jobs apart {row['apart']:.0f}, together {row['together']:.0f}"
    efficiency = f"{100 * row['efficiency']:.0f} % of {row['ranks']} times one rank"
    print(f"  samples/s: {rates}: {efficiency}, {100 * row['efficiency_apart']:.0f} % of the jobs apart", flush=True)


if __name__ == "__main__":
    sys.exit(main())
