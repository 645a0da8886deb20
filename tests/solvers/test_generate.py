"""The generator under a real mpiexec: the same bytes for any ranks and cuts, and nothing left behind by a failure."""

import os
import signal

import netCDF4
import numpy as np
import pytest
from commands import FIELD, PROBLEM, generate_arguments, run

import solvers
from solvers import dataset, generate
from solvers.dataset import Block
from solvers.specification import Specification

BLOCK = solvers.problem(**PROBLEM).block_size
STOP = 4 * BLOCK + 100
PER_SAMPLE = ("potential", "ground_state", "strength", "centre", "variance", "residual", "iterations", "fallback")


def one_line(result, code, *words):
    """The command failed with this exit code and one line of its own."""
    assert result.returncode == code, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("generate: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Samples of a few blocks, made by one process without mpiexec, more threads around it, nothing compiled yet."""
    path = tmp_path_factory.mktemp("whole") / "shard.nc"
    cache = str(tmp_path_factory.mktemp("cache"))
    result = run("solvers.generate", generate_arguments(path, 0, STOP), OMP_NUM_THREADS="2", NUMBA_CACHE_DIR=cache)
    assert result.returncode == 0, result.stderr
    assert f"{STOP} samples in" in result.stdout
    return path


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_file_is_the_same_for_any_number_of_ranks(whole, tmp_path, ranks):
    path = tmp_path / "shard.nc"
    result = run("solvers.generate", generate_arguments(path, 0, STOP), ranks)
    assert result.returncode == 0, result.stderr
    assert f"{ranks} rank" in result.stdout
    assert path.read_bytes() == whole.read_bytes()
    assert os.listdir(tmp_path) == ["shard.nc"]


@pytest.mark.mpi
def test_samples_are_the_same_however_they_are_cut(whole, tmp_path):
    cuts = ((0, 100), (100, 2 * BLOCK + 7), (2 * BLOCK + 7, STOP))
    paths = [tmp_path / f"{start}.nc" for start, _ in cuts]
    for path, (start, stop) in zip(paths, cuts, strict=True):
        assert run("solvers.generate", generate_arguments(path, start, stop), ranks=2).returncode == 0
    assert dataset.read(paths).checksum == dataset.read(whole).checksum
    with netCDF4.Dataset(whole) as file:
        for path, (start, stop) in zip(paths, cuts, strict=True):
            with netCDF4.Dataset(path) as part:
                for name in PER_SAMPLE:
                    assert part[name][:].tobytes() == file[name][start:stop].tobytes(), name


def test_what_is_written_solves_the_equation(whole):
    data = dataset.read(whole)
    with netCDF4.Dataset(whole) as file:
        assert file["residual"][:].max() < 1e-6
        assert file.fallback_count == file["fallback"][:].sum()
    np.testing.assert_allclose((data.output.astype(float) ** 2).mean(axis=1), 1, atol=1e-6)
    specification = Specification.from_json(data.attrs["spec"])
    solution = specification.problem.solve(
        specification.fields(specification.draw(BLOCK - 1, BLOCK + 1)), "gradient_flow"
    )
    np.testing.assert_allclose(data.output[BLOCK - 1 : BLOCK + 1], solution.values, rtol=1e-5)


def test_the_specification_survives_its_own_text(whole):
    text = dataset.inspect(whole).attrs["spec"]
    assert Specification.from_json(text).json() == text
    assert Specification.make(PROBLEM, FIELD, seed=3, split="test").json() == text


def test_splits_and_seeds_never_meet():
    fields = []
    for seed, split in ((3, "train"), (3, "validation"), (3, "test"), (4, "train")):
        specification = Specification.make(PROBLEM, FIELD, seed=seed, split=split)
        fields.append(specification.fields(specification.draw(0, 50)))
    strangers = np.concatenate(fields)
    assert len(np.unique(strangers, axis=0)) == len(strangers)


FAULT = """
import os, signal, sys
from solvers.specification import Specification
from solvers.nlse import NonlinearSchroedinger
block = Specification.block
def faulty(self, index):
    if index >= 2 and os.environ.get("PMI_RANK", "0") == {rank!r}:
        {fault}
    return block(self, index)
Specification.block = faulty
from solvers.generate import main
sys.exit(main())
"""


@pytest.mark.mpi
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_killed_rank_ends_the_job_and_leaves_no_file(tmp_path, rank):
    program = FAULT.format(rank=rank, fault=f"os.kill(os.getpid(), {int(signal.SIGKILL)})")
    result = run(None, generate_arguments(tmp_path / "shard.nc", 0, 10_000), ranks=2, program=program)
    assert result.returncode != 0
    assert not (tmp_path / "shard.nc").exists()


@pytest.mark.mpi
def test_a_new_run_clears_up_after_a_killed_one(whole, tmp_path):
    (tmp_path / ".shard.nc.tmp").write_bytes(b"left behind")
    assert run("solvers.generate", generate_arguments(tmp_path / "shard.nc", 0, STOP), ranks=2).returncode == 0
    assert os.listdir(tmp_path) == ["shard.nc"]
    assert (tmp_path / "shard.nc").read_bytes() == whole.read_bytes()


@pytest.mark.mpi
@pytest.mark.parametrize(("ranks", "rank"), [(0, "0"), (2, "0"), (2, "1")])
def test_a_sample_without_a_solution_is_named(tmp_path, ranks, rank):
    program = FAULT.format(rank=rank, fault="NonlinearSchroedinger.tolerance = 1e-30")
    result = run(None, generate_arguments(tmp_path / "shard.nc", 0, 10_000), ranks, program)
    one_line(result, 1, "seed 3, split test, sample", "did not converge", "1.0e-30")
    assert not os.listdir(tmp_path)


@pytest.mark.mpi
def test_our_own_mistake_on_one_rank_ends_the_job_with_a_traceback(tmp_path):
    program = FAULT.format(rank="1", fault="1 / 0")
    result = run(None, generate_arguments(tmp_path / "shard.nc", 0, 10_000), ranks=2, program=program)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert not (tmp_path / "shard.nc").exists()


@pytest.mark.mpi
def test_bad_input_ends_the_whole_job_with_one_line(tmp_path):
    arguments = generate_arguments(tmp_path / "shard.nc", problem=PROBLEM | {"shape": [4]})
    one_line(run("solvers.generate", arguments, ranks=2), 2, "problem.shape: 4 points", "too coarse")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problem": PROBLEM | {"name": "heat"}}, "problem.name: 'heat' given"),
        ({"problem": PROBLEM | {"shape": 24}}, "problem.shape: 24 given"),
        ({"problem": PROBLEM | {"shape": [-24]}}, "problem.shape: (-24,) given"),
        ({"problem": PROBLEM | {"betta": 1}}, "problem.betta"),
        ({"problem": {"name": "nlse"}}, "problem.shape: missing"),
        ({"problem": "{"}, "argument --problem: '{' given, a JSON object allowed"),
        ({"problem": "[1]"}, "argument --problem: '[1]' given, a JSON object allowed"),
        ({"field": FIELD | {"wels": 2}}, "field.wels: unknown, wells, "),
        ({"field": FIELD | {"wells": -2}}, "field.wells: -2 given"),
        ({"field": {"wells": 2}}, "field.strength: missing"),
        ({"seed": -1}, "seed: -1 given"),
        ({"seed": "one"}, "argument --seed"),
        ({"split": "holdout"}, "split: 'holdout' given, 'train' or 'validation' or 'test'"),
        ({"precision": "float16"}, "precision: 'float16' given"),
        ({"method": "guess"}, "method: 'guess' given, 'fast' or 'gradient_flow'"),
        ({"start": 700}, "--start: samples 700 to 600 given"),
        ({"start": -1}, "--start: samples -1 to 600 given"),
        ({"output": None}, "--output"),
    ],
)
def test_bad_input_is_named(tmp_path, changes, words):
    code, text = generate.understand(generate_arguments(tmp_path / "shard.nc", **changes))
    assert code == 2
    assert text.startswith("generate: ")
    assert text.count("\n") == 1
    assert words in text


def test_help_is_printed_once():
    code, text = generate.understand(["--help"])
    assert code == 0
    assert text.count("--problem JSON") == 2


def test_tasks_that_do_not_know_of_each_other_are_refused(tmp_path):
    result = run("solvers.generate", generate_arguments(tmp_path / "shard.nc"), SLURM_STEP_NUM_TASKS="4")
    one_line(result, 2, "mpiexec -n R")
    assert not os.listdir(tmp_path)


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    extras = {"fallback": np.array([1, 0]), "residual": np.array([1e-9, 3e-8])}
    summary = generate.Summary(8)
    summary.add(Block(0, np.zeros((2, 2, 4)), extras))
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(generate, "INTERVAL", 0)
    summary.add(Block(2, np.zeros((2, 2, 4)), extras))
    assert capsys.readouterr().out.startswith("4 of 8 samples, ")
    assert (summary.fallback, summary.residual) == (2, 3e-8)
