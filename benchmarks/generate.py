"""Where the time of making data goes, and what a second rank brings: ``python -m benchmarks.generate``.

The work of one rank is taken apart (drawing parameters, evaluating fields, solving, writing), then the same samples
are made by the command line under mpiexec with 1, 2, ... ranks, in turns. One thread a rank.
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


def rate(arguments: list[str], ranks: int) -> float:
    """Samples per second, as the command line itself reports them: from the first block on."""
    command = [shutil.which("mpiexec"), "-n", str(ranks), sys.executable, "-m", "solvers.generate", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"\((\d+) samples/s", output).group(1))


def measure(name: str, ranks: list[int], folder: Path) -> dict:
    """Measure one case: the parts of one rank, and the rate of each number of ranks (medians of turns)."""
    problem, field, count = CASES[name]
    specification = Specification.make(problem, field, seed=1, split="train")
    row = {"case": name, "samples": count} | take_apart(specification, count, folder)
    options = {"problem": json.dumps(problem), "field": json.dumps(field), "seed": 1, "split": "train", "start": 0}
    options |= {"stop": count, "output": folder / "ranks.nc"}
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    turns = [{number: rate(arguments, number) for number in ranks} for _ in range(TURNS)]
    for number in ranks:
        row[f"rate_{number}"] = statistics.median(turn[number] for turn in turns)
        row[f"efficiency_{number}"] = row[f"rate_{number}"] * ranks[0] / (row[f"rate_{ranks[0]}"] * number)
    return row


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="a case to measure (may be repeated; all)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="numbers of ranks (1 2)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    rows = []
    for name in options.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(name, options.ranks, Path(folder)))
        _tell(rows[-1], options.ranks)
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return 0


def _tell(row: dict, ranks: list[int]) -> None:
    parts = ", ".join(f"{part} {row[part]:.1f}" for part in PARTS)
    print(f"{row['case']}: us a sample on one rank: {parts}")
    for number in ranks:
        efficiency = f"{100 * row[f'efficiency_{number}']:.0f} % efficiency"
        print(f"  {number} rank(s): {row[f'rate_{number}']:.0f} samples/s, {efficiency}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
