"""Test errors on the six problems, one thread: ``python -m benchmarks.accuracy``.

Compared are the two recipes at equal epochs and, where neuraloperator is installed, a Fourier neural operator of equal
size, trained for as long as recipe ``default`` takes (see `mnn.fno`), with either optimiser, of which the better one on
the validation set counts. Data, models and errors are kept in a folder: a run that was interrupted goes on where it
stopped, and a second run with the same sizes only prints. By default 2D grids have half the paper's points an axis;
``--full`` has the paper's grids, samples and epochs. The exit code is 1 where a floor is missed.
"""

import argparse
import csv
import importlib.util
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
FNO = "fno"
LEAST_GAIN = 3.0
"""Floor of the error of recipe ``paper`` over that of ``default``."""
LEAST_WON = 4
"""Floor of the problems on which recipe ``default`` has a lower error than the Fourier neural operator."""
BOX = {320: 5, 80: 5, 40: 5, 64: 4, 32: 4}
"""Points N an axis -> points m of a box."""
COLUMNS = ("median", "least", "largest", "linear", "seconds")
"""Of the test error over seeds; the best linear map's; training time of a network, seconds."""


@dataclass(frozen=True)
class Sizes:
    """Samples, epochs and seeds of a comparison, and whether 2D grids are the paper's."""

    train: int
    test: int
    epochs: int
    seeds: int
    full: bool
    fno_seeds: int

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
    """Train all seeds of one recipe, or of the Fourier neural operator, on one case and return a row of the table."""
    shards, points = data(case, sizes, folder / case)
    if recipe == FNO:
        return fourier_row(case, shards, folder / case / sizes.name(), sizes.fno_seeds)
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
    """Summarise one recipe on one case."""
    import xarray as xr

    with xr.open_dataset(errors) as found:
        test, parameters = found["test_error_mean"].values, found.attrs["parameters"]
        seconds = found.attrs["training_seconds"] / len(test)
    linear = json.loads(lines.read_text())["baselines"]["linear"]
    return summary(case, recipe, parameters, test, linear) | {"seconds": seconds}


def fourier_row(case: str, shards: dict[str, Path], place: Path, seeds: int) -> dict:
    """Train Fourier neural operators of the size and time of recipe ``default``'s networks; summarise the better."""
    output = place / "fno.json"
    if not output.exists():
        sets = [part for split, path in shards.items() for part in (f"--{split}", path)]
        like = ("--like", place / "default" / "model.safetensors", "--members", seeds, "--threads", 1)
        run("mnn.fno", *sets, *like, "--output", output)
    found = json.loads(output.read_text())
    entry, linear = (
        json.loads(path.read_text())["baselines"][name]
        for path, name in ((output, "fno"), (place / "baselines.json", "linear"))
    )
    best = min(found["optimisers"], key=lambda outcome: np.median(outcome["validation"]))
    trained = f"{FNO}, {best['optimiser']}"
    seconds = {"seconds": best["seconds"] / len(best["test"])}
    return summary(case, trained, entry["parameters"], np.array(best["test"]), linear) | seconds


def summary(case: str, trained: str, parameters: int, test: np.ndarray, linear: dict) -> dict:
    """Summarise the test errors of all seeds, beside the best linear map's."""
    statistics = {"median": np.median(test), "least": test.min(), "largest": test.max(), "linear": linear["test_mean"]}
    row = {"case": case, "trained": trained, "parameters": int(parameters), "seeds": len(test)}
    return row | {key: float(value) for key, value in statistics.items()}


def floors(rows: list[dict]) -> list[str]:
    """Say in a line each which floors are missed."""
    by_case = {case: [row for row in rows if row["case"] == case] for case in CASES}
    by_case = {case: found for case, found in by_case.items() if found}
    gains = {case: found[0]["median"] / found[1]["median"] for case, found in by_case.items()}
    missed = [f"{case}: gain {gain:.1f} of {LEAST_GAIN:.0f}" for case, gain in gains.items() if gain < LEAST_GAIN]
    raced = [found for found in by_case.values() if len(found) > len(RECIPES)]
    won = sum(found[1]["median"] < found[2]["median"] for found in raced)
    if won < min(LEAST_WON, len(raced)):
        missed.append(f"against the Fourier neural operator: {won} of {len(raced)} won")
    return missed


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--case", action="append", choices=CASES, help="a problem (may be repeated; all)")
    add("--full", action="store_true", help="the paper's 2D grids, 20000 samples and 200 epochs")
    add("--samples", type=int, help="training samples (1000)")
    add("--test", type=int, help="test samples (500)")
    add("--epochs", type=int, help="epochs of either recipe (50)")
    add("--seeds", type=int, default=3, help="networks of each kind (3)")
    add("--fno-seeds", type=int, help="Fourier neural operators with each optimiser, 0 for none (as --seeds)")
    add("--folder", type=Path, default=Path("benchmarks/output/accuracy"), help="where all is kept")
    add("--csv", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    usual = {"samples": 20000, "test": 20000, "epochs": 200} if options.full else {}
    for name, number in ({"samples": 1000, "test": 500, "epochs": 50} | usual).items():
        if getattr(options, name) is None:
            setattr(options, name, number)
    if options.fno_seeds is None:
        options.fno_seeds = options.seeds
    if importlib.util.find_spec("neuralop") is None:
        options.fno_seeds = 0
        print("FNO: not measured, the package neuraloperator is not installed (`make extras`)")
    return options


def main() -> int:
    """Compare, and print the table."""
    options = parse()
    sizes = Sizes(options.samples, options.test, options.epochs, options.seeds, options.full, options.fno_seeds)
    compared = (*RECIPES, FNO) if options.fno_seeds else RECIPES
    rows = []
    print(f"{'problem':14s} {'trained':10s} {'weights':>8s}", *(f"{name:>8s}" for name in COLUMNS), f"{'gain':>6s}")
    for case in options.case or CASES:
        found = [measure(case, trained, sizes, options.folder) for trained in compared]
        rows += found
        for line in found:
            figures = " ".join(f"{line[key]:8.1e}" for key in COLUMNS[:-1])
            print(
                f"{case:14s} {line['trained']:10s} {line['parameters']:8d} {figures} {line['seconds']:8.0f} "
                f"{found[0]['median'] / line['median']:6.1f}",
                flush=True,
            )
    if options.csv is not None:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    missed = floors(rows)
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
