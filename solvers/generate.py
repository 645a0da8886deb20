"""Make one shard of a data set: ``[mpiexec -n R] python -m solvers.generate ... --output PATH``.

Ranks take blocks of samples as they become free; the root takes part and writes what arrives in between. The bytes
of the fields depend neither on the number of ranks nor on the limits of the shard (see `solvers.specification`).
Exit code 2 and one line for bad input, 1 for samples or files that could not be made; then there is no file.
"""

import io
import os
import signal
import sys
import time
import traceback
from collections import deque
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass

from solvers.command import Parser, json_object, one_line, run_from_cache, run_on_one_thread

if __name__ == "__main__":
    run_on_one_thread()  # before anything heavy is imported

from solvers.dataset import Block, DatasetError
from solvers.problem import ConvergenceError
from solvers.specification import SampleError, Specification
from solvers.writer import Writer

AHEAD = 3
"""Blocks a rank holds at most, solved and not yet taken by the root included; bounds its memory. While the root
solves and writes, a rank has work for as long as that takes."""
INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal."""


@dataclass(frozen=True)
class Job:
    """What the command line asks for; only the root opens the writer."""

    specification: Specification
    writer: Writer


def main() -> int:
    """Run the command line on every rank."""
    job, text = understand(sys.argv[1:])
    if isinstance(job, Job):
        run_from_cache(lambda: _one_sample(job.specification))
    comm = _communicator()
    try:
        return _generate(comm, job, text)
    except BaseException as error:
        if isinstance(error, (SampleError, DatasetError)):
            print(f"generate: {one_line(error)}", file=sys.stderr, flush=True)
        elif not isinstance(error, SystemExit):
            sys.stderr.write(traceback.format_exc())  # in one piece: mpiexec passes on what it has when the job ends
        sys.stderr.flush()
        if comm.size > 1:
            comm.Abort(1)
        return 1


def _one_sample(specification: Specification) -> None:
    """Run all compiled code once; if the sample cannot be solved, that will be told where it counts."""
    with suppress(ValueError, ConvergenceError):
        field = specification.fields(specification.draw(0, 1))
        specification.problem.solve(field, specification.method)


class _Alone:
    """The communicator of the only process, where MPI is not installed."""

    rank, size = 0, 1

    def bcast(self, value):
        return value


def _communicator():
    try:
        from mpi4py import MPI
        from mpi4py.util import pkl5
    except ImportError:
        return _Alone()
    return pkl5.Intracomm(MPI.COMM_WORLD)


def _generate(comm, job: Job | int, text: str) -> int:
    """Let the root open the file before any rank works, then make the shard; all ranks return the same code."""
    with ExitStack() as stack:
        code = None
        if comm.rank == 0:
            code, text = _open(comm, job, text, stack)
            print(text, end="", file=sys.stderr if code else sys.stdout, flush=True)
        code = comm.bcast(code)
        if code is not None:
            return code
        if comm.rank > 0:
            _follow(comm, job)
        else:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
            began = time.perf_counter()
            summary = _lead(comm, job)
    if comm.rank == 0:
        print(summary.line(job.writer, comm.size, time.perf_counter() - began))
    return 0


def _open(comm, job: Job | int, text: str, stack: ExitStack) -> tuple[int | None, str]:
    """Open the file of a job; an exit code and what to print if there is nothing to do."""
    if not isinstance(job, Job):
        return job, text
    try:
        if comm.size == 1 and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            raise ValueError("srun started tasks that do not know of each other: use mpiexec -n R, or srun --mpi=pmi2")
        stack.enter_context(job.writer)
    except ValueError as error:
        return 2, f"generate: {one_line(error)}\n"
    return None, ""


def understand(arguments: list[str]) -> tuple[Job | int, str]:
    """Parse and check the command line: a job, or an exit code and what to print."""
    text = io.StringIO()
    try:
        with redirect_stdout(text):
            options = _parser().parse_args(arguments)
        if not 0 <= options.start < options.stop:
            raise ValueError(f"--start: samples {options.start} to {options.stop} given, 0 <= start < stop allowed")
        names = ("problem", "field", "seed", "split", "precision", "method")
        specification = Specification.make(**{name: getattr(options, name) for name in names})
        return Job(specification, Writer(options.output, specification.header(), options.start, options.stop)), ""
    except ValueError as error:
        return 2, f"generate: {one_line(error)}\n"
    except SystemExit:
        return 0, text.getvalue()


def _parser() -> Parser:
    example = """python -m solvers.generate --problem '{"name": "nlse", "shape": [320], "beta": 10}' \\
    --field '{"wells": 2, "strength": [1, 4], "variance": [0.002, 0.004], "centre": [0, 1]}' \\
    --seed 1 --split train --start 0 --stop 1000 --output train.nc
with MPI: mpiexec -n 4 python -m solvers.generate ..."""
    parser = Parser(
        "Draw random fields, solve the equation for each, and write them as one shard of a data set.", example
    )
    add = parser.add_argument
    problem = "name, shape (grid points) and coefficients of the equation, see docs/problems"
    field = "law of the random fields: arguments of solvers.wells.Wells, see docs/problems/fields.md"
    add("--problem", type=json_object, required=True, metavar="JSON", help=problem)
    add("--field", type=json_object, required=True, metavar="JSON", help=field)
    add("--seed", type=int, required=True, help="seed of the data set, 0 or more")
    add("--split", required=True, help="train, validation or test; each has random numbers of its own")
    add("--start", type=int, required=True, metavar="SAMPLE", help="first sample, counted from 0")
    add("--stop", type=int, required=True, metavar="SAMPLE", help="the sample after the last one")
    add("--precision", default="float32", help="precision of the stored fields: float32 (default) or float64")
    add("--method", default="fast", help="fast (default) or the name of the problem's robust method")
    add("--output", required=True, metavar="SHARD", help="the netCDF-4 file to make")
    return parser


def _ahead(blocks: range, ranks: int) -> int:
    """Blocks handed to a rank in advance: fewer where there are few, so that every rank gets some."""
    return min(AHEAD, max(1, len(blocks) // ranks))


def _lead(comm, job: Job) -> "Summary":
    """Hand out blocks, solve some, write all: whatever has arrived is written before the root solves again."""
    specification, writer = job.specification, job.writer
    blocks = specification.blocks(writer.start, writer.stop)
    waiting = iter(blocks)
    for worker in _ahead(blocks, comm.size) * list(range(1, comm.size)):
        comm.send(next(waiting, None), worker)
    summary = Summary(writer.stop - writer.start)
    while writer.written < writer.stop - writer.start:
        message = comm.improbe() if comm.size > 1 else None
        if message is None and (index := next(waiting, None)) is not None:
            block = specification.block(index).crop(writer.start, writer.stop)
        else:
            worker, block = (message or comm.mprobe()).recv()
            comm.send(next(waiting, None), worker)
        if isinstance(block, str):
            raise SampleError(block)
        writer.write(block)
        summary.add(block)
    summary.close()
    writer.attributes["fallback_count"] = summary.fallback
    return summary


def _follow(comm, job: Job) -> None:
    """Solve what the root hands out, until it has answered every block with the word that there is no more."""
    specification, start, stop = job.specification, job.writer.start, job.writer.stop
    left = ahead = _ahead(specification.blocks(start, stop), comm.size)
    sent = deque()
    while left:
        index = comm.recv(source=0)
        if index is None:
            left -= 1
            continue
        try:
            result = specification.block(index).crop(start, stop)
        except SampleError as error:
            result = str(error)
        if len(sent) == ahead:
            sent.popleft().wait()
        sent.append(comm.isend((comm.rank, result), 0))
    for request in sent:
        request.wait()


class Summary:
    """What has been written so far, shown as a bar on a terminal and as a line now and then elsewhere."""

    def __init__(self, total: int):
        self.total, self.done, self.fallback, self.residual = total, 0, 0, 0.0
        self.began = self.told = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit=" samples", leave=False)

    def add(self, block: Block) -> None:
        """Count a block."""
        self.done += len(block.fields)
        self.fallback += int(block.extras["fallback"].sum())
        self.residual = max(self.residual, float(block.extras["residual"].max()))
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(len(block.fields))
        elif now - self.told > INTERVAL:
            rate = self.done / (now - self.began)
            left = (self.total - self.done) / rate
            print(f"{self.done} of {self.total} samples, {rate:.0f} samples/s, {left:.0f} s left", flush=True)
            self.told = now

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()

    def line(self, writer: Writer, ranks: int, seconds: float) -> str:
        """Return the last line."""
        return (
            f"{writer.path}: {self.done} samples in {seconds:.2f} s ({self.done / seconds:.0f} samples/s, "
            f"{ranks} rank{'s' if ranks > 1 else ''}), {self.fallback} by fallback, "
            f"worst residual {self.residual:.1e}"
        )


if __name__ == "__main__":
    sys.exit(main())
