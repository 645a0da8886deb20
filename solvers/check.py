"""Check files of a data set: ``python -m solvers.check FILE...``.

Contract, finite fields, checksum; and where the file says what it was made from: recorded residuals, drawn
parameters, grid, and a subset of its samples, chosen by the checksum, solved again by the robust method. For a file
of your own: a network that suits it, and why. Exit code 1 if a file fails, with what is wrong and how to mend it; 2
for a mistake on the command line.
"""

import json
import os
import shlex
import sys
from argparse import Namespace
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from solvers.command import Parser, one_line, progress, run_on_one_thread

if __name__ == "__main__":
    run_on_one_thread()  # before anything heavy is imported

import numpy as np

from solvers.dataset import AXES, DatasetError, Shard, Source, inspect
from solvers.problem import ConvergenceError
from solvers.specification import Specification

ROUNDINGS = 4
"""Roundings of the storage precision granted to a value that is computed again."""


def check(
    path: os.PathLike | str,
    subset: int | None = None,
    deep: bool = False,
    variables: tuple[str | None, str | None] = (None, None),
) -> dict:
    """Check one file.

    Parameters
    ----------
    path : path-like
    subset : int, optional
        How many samples to solve again by the robust method; by default the problem's ``samples_checked``.
    deep : bool
        Solve all samples again.
    variables : (str, str)
        Names of the input and the output variable, where the file does not tell.

    Returns
    -------
    dict
        JSON-ready: ``path``, ``samples``, ``shape``, ``checksum`` (None if the file has none); of a file with a
        specification also ``residual`` (the worst recorded), ``fallback`` (how many samples), ``solved_again``,
        ``difference`` (the worst) and ``allowed``.

    Raises
    ------
    DatasetError
        If the file fails; one line.
    """
    source = Source(path, *variables)
    shard = source.shards[0]
    for _ in source.blocks():
        pass
    report = {"path": str(path), "samples": shard.count, "shape": list(shard.shape)}
    report["checksum"] = shard.attrs.get("checksum")
    if (specification := specification_of(shard)) is None:
        return report
    subset = shard.count if deep else subset or specification.problem.samples_checked
    return report | _check_record(shard, specification) | _check_subset(shard, specification, subset)


def specification_of(shard: Shard) -> Specification | None:
    """Return what a file says it was made from, None if it does not."""
    if (text := shard.attrs.get("spec")) is None:
        return None
    try:
        return Specification.from_json(text)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{shard.path}: attribute spec: {one_line(error)}") from None


def _check_record(shard: Shard, specification: Specification) -> dict:
    """Compare all that accompanies the fields with the specification."""
    problem = specification.problem
    _check_attributes(shard, specification)
    if shard.start is None or shard.shape != problem.shape or shard.dtype != specification.precision:
        found = f"{shard.dtype} on {shard.shape} from sample {shard.start}"
        raise DatasetError(f"{shard.path}: {found} found, {specification.precision} on {problem.shape} expected")
    for axis, points in zip(AXES, problem.coordinates(), strict=False):
        if not np.allclose(shard.coordinates.get(axis, np.nan), points, rtol=0, atol=1e-12 * problem.length):
            raise DatasetError(f"{shard.path}: coordinate {axis} is not the grid of {problem.name}")
    record = shard.variables([variable.name for variable in specification.header().variables])
    for name, values in vars(specification.draw(shard.start, shard.start + shard.count)).items():
        if record[name].shape != values.shape or not np.allclose(record[name], values, rtol=1e-12, atol=1e-15):
            raise DatasetError(f"{shard.path}: {name} is not what seed {specification.seed} draws")
    worst, fallback = int(np.argmax(record["residual"])), int(record["fallback"].sum())
    if (residual := float(record["residual"][worst])) > problem.tolerance:
        found = f"residual {residual:.1e} of sample {shard.start + worst}"
        raise DatasetError(f"{shard.path}: {found} found, at most {problem.tolerance:.1e} allowed")
    if fallback != shard.attrs["fallback_count"]:
        found = f"fallback_count {shard.attrs['fallback_count']}"
        raise DatasetError(f"{shard.path}: attribute {found} found, {fallback} samples are marked")
    return {"residual": residual, "fallback": fallback}


def _check_attributes(shard: Shard, specification: Specification) -> None:
    header = specification.header()
    expected = header.attributes | {"input_variable": header.input.name, "output_variable": header.output.name}
    for name in sorted(expected.keys() - {"source"}):
        if (found := shard.attrs.get(name)) != expected[name]:
            raise DatasetError(f"{shard.path}: attribute {name}: {found!r} found, {expected[name]!r} expected")
    for name in ("source", "checksum", "start", "stop", "fallback_count"):
        if name not in shard.attrs:
            raise DatasetError(f"{shard.path}: attribute {name} is missing")


def _check_subset(shard: Shard, specification: Specification, subset: int) -> dict:
    """Draw some samples again, solve them by the robust method, and compare."""
    problem, rounding = specification.problem, ROUNDINGS * float(np.finfo(specification.precision).eps)
    allowed, worst, solved = problem.agreement + rounding, 0.0, 0
    drawn = specification.draw(shard.start, shard.start + shard.count)
    chosen = choose(shard, subset, problem.block_size)
    for rows in progress(chosen, len(chosen), "blocks solved again"):
        stored = shard.rows(rows)
        field = specification.fields(replace(drawn, **{name: values[rows] for name, values in vars(drawn).items()}))
        _compare(shard, shard.input, rows, stored[:, 0], field, rounding, "the field of its parameters")
        values = _solve(shard, specification, rows, field)
        what = f"the solution by {problem.robust}"
        difference = _compare(shard, shard.output, rows, stored[:, 1], values, allowed, what)
        worst, solved = max(worst, difference), solved + len(rows)
    return {"solved_again": solved, "difference": worst, "allowed": allowed}


def choose(shard: Shard, subset: int, size: int) -> list[np.ndarray]:
    """Rows to solve again, at most ``size`` together: random ones that follow from the checksum, or all."""
    rows = np.arange(shard.count)
    if subset < shard.count:
        seed = int(shard.attrs["checksum"].removeprefix("sha256:"), 16)
        rows = np.sort(np.random.default_rng(seed).choice(rows, subset, replace=False))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _solve(shard: Shard, specification: Specification, rows: np.ndarray, field: np.ndarray) -> np.ndarray:
    try:
        return specification.problem.solve(field, specification.problem.robust).values
    except ConvergenceError as error:
        sample = shard.start + int(rows[error.indices[0]])
        raise DatasetError(f"{shard.path}: sample {sample} cannot be solved again: {one_line(error)}") from None


def _compare(shard: Shard, name: str, rows: np.ndarray, stored, expected, allowed: float, what: str) -> float:
    """Return the largest relative l2 difference over the samples; raise DatasetError if it is not allowed."""
    axes = tuple(range(1, expected.ndim))
    scale = np.maximum((expected**2).sum(axis=axes), np.finfo(float).tiny)  # a field may be zero everywhere
    difference = np.sqrt(((stored - expected) ** 2).sum(axis=axes) / scale)
    worst = int(np.argmax(difference))
    if not difference[worst] <= allowed:
        found = f"{name} of sample {shard.start + int(rows[worst])} differs by {difference[worst]:.1e} from {what}"
        raise DatasetError(f"{shard.path}: {found}, at most {allowed:.1e} allowed")
    return float(difference[worst])


def remedy(path: os.PathLike | str, error: DatasetError) -> str:
    """Say how to mend a file that failed: the command that makes it again, if the file still tells."""
    try:
        shard = inspect(path)
        specification = specification_of(shard)
    except DatasetError:
        specification = None
    if specification is None or shard.start is None:
        return error.remedy or "make it again, or, where it is your own, see docs/data_format.md"
    spec = json.loads(specification.json())
    options = {name: value if isinstance(value, str) else json.dumps(value) for name, value in spec.items()}
    options |= {"start": shard.start, "stop": shard.start + shard.count, "output": path}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return shlex.join(["python", "-m", "solvers.generate", *words])


def main() -> int:
    """Run the command line."""
    try:
        options = _parser().parse_args()
        if options.subset is not None and options.subset < 1:
            raise ValueError(f"--subset: {options.subset} given, a positive integer allowed")
    except ValueError as error:
        print(f"check: {one_line(error)}", file=sys.stderr)
        return 2
    reports = [_check_and_tell(path, options) for path in options.files]
    passed = all(report["ok"] for report in reports)
    if options.report is not None:
        document = json.dumps({"ok": passed, "files": reports}, indent=2) + "\n"
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(document, encoding="utf-8")
    return 0 if passed else 1


def _check_and_tell(path: Path, options: Namespace) -> dict:
    try:
        report = check(path, options.subset, options.deep, options.variables)
    except DatasetError as error:
        print(f"{one_line(error)}\n  to mend: {remedy(path, error)}", file=sys.stderr, flush=True)
        return {"path": str(path), "ok": False, "error": one_line(error)}
    print(f"{path}: ok: {_describe(report)}", flush=True)
    if "residual" not in report and options.report is None:
        # Loaded by name: what is suggested certifies nothing, and must not enter the checker's fingerprint.
        print("".join(f"  {line}\n" for line in import_module("mnn.suggest").suggest(path, options.variables)), end="")
    return {"ok": True} | report


def _describe(report: dict) -> str:
    parts = [f"{report['samples']} samples", report["checksum"][:19] if report["checksum"] else "no checksum"]
    if "residual" in report:
        parts += [
            f"residual up to {report['residual']:.1e}",
            f"{report['fallback']} by fallback",
            f"{report['solved_again']} solved again, difference up to {report['difference']:.1e} "
            f"({report['allowed']:.1e} allowed)",
        ]
    return ", ".join(parts)


def _parser() -> Parser:
    about = """Check files of a data set: contract, finite fields, checksum, residuals, and some samples solved again.
For a file of your own: a network that suits it, and why. Exit code 1 if a file fails, 2 for a mistake here."""
    parser = Parser(about, "python -m solvers.check results/quick/data/nlse_1d/train/*.nc --report check.json")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="netCDF-4 file of a data set")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--subset", type=int, metavar="SAMPLES", help="to solve again; default: 1 to 8, by the problem")
    chosen.add_argument("--deep", action="store_true", help="solve every sample again by the robust method")
    parser.add_argument(
        "--variables",
        nargs=2,
        default=(None, None),
        metavar=("INPUT", "OUTPUT"),
        help="names of the two fields, where the file does not tell",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="JSON file to write; no network is suggested")
    return parser


if __name__ == "__main__":
    sys.exit(main())
