"""Compare every solver's fast path with a straightforward one: ``python -m benchmarks.solvers``.

One thread. Rates are samples per second, errors mean relative l2 errors against a high-accuracy solution; each is
followed by its floor, the least that the project promises.
"""

import argparse
import csv
import math
import pkgutil
import sys
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path

from solvers.command import run_on_one_thread

if __name__ == "__main__":
    run_on_one_thread()  # before anything heavy is imported

import benchmarks.solvers
from benchmarks.solvers.case import Case
from benchmarks.solvers.measure import Measurement, measure

TITLES = (
    "case",
    "fast /s",
    "plain /s",
    "ratio",
    "floor",
    "error",
    "floor",
    "err plain",
    "hardest",
    "floor",
    "signal",
    "floor",
)


def all_cases() -> dict[str, Case]:
    """Return the cases of every module of this package, by name."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.solvers.__path__)]
    modules = [import_module(f"benchmarks.solvers.{name}") for name in names if name != "__main__"]
    return {case.name: case for module in modules if hasattr(module, "cases") for case in module.cases()}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", metavar="NAME", help="a case to measure (may be repeated; all)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    cases = all_cases()
    if unknown := [name for name in options.case or () if name not in cases]:
        print(f"--case: {unknown[0]!r} given, {', '.join(cases)} allowed", file=sys.stderr)
        return 2
    print(_row(TITLES), flush=True)
    found = []
    for name in options.case or cases:
        found.append(measure(cases[name]))
        print(_row(_cells(found[-1])), flush=True)
    if options.csv is not None:
        _write(options.csv, found)
    return 0


def _cells(found: Measurement) -> list[str]:
    rates = [f"{found.fast:.4g}", f"{found.straightforward:.3g}", f"{found.ratio:.0f}", f"{found.floor_ratio:.0f}"]
    errors = [found.error, found.floor_error, found.error_straightforward, found.hardest, found.floor_hardest]
    errors += [found.error_signal, found.floor_signal]
    verdict = f"short: {', '.join(found.short)}" if found.short else "ok"
    if found.fallback:
        verdict += f" ({found.fallback} of {found.samples} by fallback)"
    return [found.case, *rates, *("-" if math.isnan(error) else f"{error:.1e}" for error in errors), verdict]


def _row(cells) -> str:
    first, *rest = cells
    return f"{first:<18}" + "".join(f"{cell:>10}" for cell in rest[:11]) + "".join(f"   {cell}" for cell in rest[11:])


def _write(path: Path, found: list[Measurement]) -> None:
    names = [entry.name for entry in fields(Measurement)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, "short"])
        writer.writeheader()
        writer.writerows(asdict(row) | {"short": " ".join(row.short)} for row in found)


if __name__ == "__main__":
    sys.exit(main())
