"""Test errors of the two recipes at equal epochs on the six problems: ``python -m benchmarks.accuracy``.

Data, models and errors are kept in a folder: a run that was interrupted goes on where it stopped, and a second run
with the same sizes only prints. By default 2D grids have half the paper's points an axis; ``--full`` has them all.
"""

import argparse
import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.generate import CASES

PERIODIC = {"architecture": "mnn-h2", "layers": "cnn", "padding": "periodic", "rank": 6, "depth": 5}
BOUNDED = PERIODIC | {"layers": "mix", "padding": "zero", "rank": 8}
NETWORKS = {
    "nlse_1d": PERIODIC,
    "nlse_2d": PERIODIC,
    "rte_1d": BOUNDED,
    "rte_2d": BOUNDED,
    "kohn_sham_1d": PERIODIC | {"rank": 8},
    "kohn_sham_2d": PERIODIC | {"depth": 6},
}
RECIPES = ("paper", "default")
BOX = {320: 5, 80: 5, 40: 5, 64: 4, 32: 4}
"""Points N an axis -> points m of a box."""


@dataclass(frozen=True)
class Sizes:
    """Samples, epochs and seeds of a comparison, and whether 2D grids are the paper's."""

    train: int
    test: int
    epochs: int
    seeds: int
    full: bool

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split."""
        return {"train": self.train, "validation": max(1, self.train // 10), "test": self.test}

    def name(self) -> str:
        """Name of the folder of one comparison."""
        return f"n{self.train}_e{self.epochs}_s{self.seeds}{'_full' if self.full else ''}"


def run(module: str, *arguments) -> None:
    """Run a command of the project; its output goes to standard error."""
    line = [sys.executable, "-m", module, *map(str, arguments)]
    if subprocess.run(line, stdout=sys.stderr, check=False).returncode:
        raise SystemExit(f"error: {' '.join(line[1:4])} failed")


def data(case: str, sizes: Sizes, folder: Path) -> tuple[dict[str, Path], int]:
    """Make the shards of a case that are not there yet; return them by split, and N."""
    problem, field, _ = CASES[case]
    shape = problem["shape"] if sizes.full or len(problem["shape"]) == 1 else [n // 2 for n in problem["shape"]]
    problem = problem | {"shape": shape}
    shards = {split: folder / f"N{shape[0]}_{split}_{count}.nc" for split, count in sizes.splits.items()}
    for split, path in shards.items():
        if not path.exists():
            given = ("--problem", json.dumps(problem), "--field", json.dumps(field), "--seed", 7, "--split", split)
            run("solvers.generate", *given, "--start", 0, "--stop", sizes.splits[split], "--output", path)
    return shards, shape[0]


def measure(case: str, recipe: str, sizes: Sizes, folder: Path) -> dict:
    """Train all seeds of one recipe on one case and return its row of the table."""
    shards, points = data(case, sizes, folder / case)
    network = NETWORKS[case] | {"levels": int(np.log2(points // BOX[points]))}
    place = folder / case / sizes.name() / recipe
    model, errors, lines = place / "model.safetensors", place / "errors.nc", place.parent / "baselines.json"
    files = ("--train", shards["train"], "--validation", shards["validation"])
    if not model.exists():
        training = {"recipe": recipe, "epochs": sizes.epochs, "members": sizes.seeds}
        kept = ("--history", place / "history.csv", "--checkpoint", place / "checkpoint.safetensors")
        asked = ("--network", json.dumps(network), "--training", json.dumps(training), "--threads", 1)
        run("mnn.train", *asked, *files, "--model", model, *kept)
    if not errors.exists():
        run("mnn.evaluate", model, "--train", shards["train"], "--test", shards["test"], "--output", errors)
    if not lines.exists():
        run("mnn.baselines", *files, "--test", shards["test"], "--output", lines)
    return row(case, recipe, errors, lines)


def row(case: str, recipe: str, errors: Path, lines: Path) -> dict:
    """Summarise one recipe on one case: test error over the seeds, beside the best linear map."""
    import xarray as xr

    with xr.open_dataset(errors) as found:
        test, parameters = found["test_error_mean"].values, found.attrs["parameters"]
        seconds, rate = found.attrs["training_seconds"], found.attrs["training_samples_per_second"]
    linear = json.loads(lines.read_text())["baselines"]["linear"]["test_mean"]
    statistics = {"median": np.median(test), "least": test.min(), "largest": test.max(), "linear": linear}
    row = {"case": case, "recipe": recipe, "parameters": int(parameters), "seeds": len(test)}
    return row | {key: float(value) for key, value in statistics.items()} | {"seconds": seconds, "samples_per_s": rate}


def main() -> int:
    """Compare the recipes and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="a problem (may be repeated; all)")
    parser.add_argument("--samples", type=int, default=1000, help="training samples (1000)")
    parser.add_argument("--test", type=int, default=500, help="test samples (500)")
    parser.add_argument("--epochs", type=int, default=50, help="epochs of either recipe (50)")
    parser.add_argument("--seeds", type=int, default=3, help="networks of either recipe (3)")
    parser.add_argument("--full", action="store_true", help="the paper's 2D grids")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/output/accuracy"), help="where all is kept")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    sizes = Sizes(options.samples, options.test, options.epochs, options.seeds, options.full)
    rows = []
    print(f"{'problem':14s} {'recipe':8s} {'median':>8s} {'least':>8s} {'largest':>8s} {'linear':>8s} {'gain':>6s}")
    for case in options.case or CASES:
        rows += [measure(case, recipe, sizes, options.folder) for recipe in RECIPES]
        for line in rows[-2:]:
            gain = rows[-2]["median"] / line["median"]
            figures = " ".join(f"{line[key]:8.1e}" for key in ("median", "least", "largest", "linear"))
            print(f"{case:14s} {line['recipe']:8s} {figures} {gain:6.1f}", flush=True)
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
