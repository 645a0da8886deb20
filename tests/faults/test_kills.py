"""Processes that are killed: the run goes on to the fields and weights of an undisturbed one."""

import os
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.timeout(900)]

SHARD = "results/quick/data/nlse_1d/test/000000-000032.nc"
MODEL = "results/quick/models/nlse_1d/small_r2_K2_n32_default/model.safetensors"


class Run:
    """Snakemake at work, and the processes it started."""

    def __init__(self, clone, *arguments):
        self.clone = clone
        self.output = (clone.folder / "output.txt").open("w+")
        self.process = subprocess.Popen(
            clone.command(*arguments), cwd=clone.folder, stdout=self.output, stderr=subprocess.STDOUT
        )

    def wait_for(self, what):
        """Return the first true value of a function."""
        limit = time.monotonic() + 120
        while not (found := what()):
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < limit
            time.sleep(0.01)
        return found

    def job(self, program, *words):
        """Wait for a process of the run by its program and words of its command line."""

        def search():
            for process in psutil.Process(self.process.pid).children(recursive=True):
                try:
                    line = process.cmdline()
                except psutil.NoSuchProcess:
                    continue
                if line and os.path.basename(line[0]).startswith(program) and all(word in line for word in words):
                    return process
            return None

        return self.wait_for(search)

    def finish(self):
        """Wait until Snakemake has ended well; return all it said."""
        assert self.process.wait(240) == 0, self.text()
        return self.text()

    def text(self):
        self.output.seek(0)
        return self.output.read()


def assert_same_fields(clone, expected):
    assert (clone.folder / SHARD).read_bytes() == (expected.folder / SHARD).read_bytes()


@pytest.mark.parametrize(
    "victim", [("python", "solvers.generate"), ("mpiexec", "solvers.generate")], ids=["one rank", "mpiexec"]
)
def test_a_solve_that_loses_a_process_is_tried_again(finished, clone, victim):
    run = Run(clone, "--retries", "1", SHARD)
    run.job(*victim).kill()
    assert "Error in rule generate" in run.finish()
    assert_same_fields(clone, finished)


@pytest.fixture(scope="module")
def long_training(finished, tmp_path_factory):
    """A copy in which one network was trained for some seconds, undisturbed."""
    clone = finished.copy(tmp_path_factory.mktemp("trained"))
    clone.configure(lambda config: config["training"]["default"].update(epochs=1500))
    clone.run(MODEL)
    return clone


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_is_ended_goes_on_where_it_was(long_training, tmp_path, number):
    clone = long_training.copy(tmp_path / "ended")
    model = clone.folder / MODEL
    model.unlink()

    def checkpoints():
        return list(model.parent.glob("checkpoint_*.safetensors"))

    run = Run(clone, "--retries", "1", MODEL)
    training = run.job("python", "mnn.train")
    run.wait_for(checkpoints)
    training.send_signal(number)
    run.wait_for(lambda: not training.is_running())
    assert checkpoints()
    assert not model.exists()
    assert "Error in rule train" in run.finish()
    assert not checkpoints()
    expected, got = load_file(long_training.folder / MODEL), load_file(model)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(finished, clone):
    run = Run(clone, SHARD)
    rank = run.job("python", "solvers.generate")
    rank.suspend()  # however slowly the second one starts, the first is at work
    second = clone.snakemake(SHARD)
    rank.resume()
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout + second.stderr
    run.finish()
    assert_same_fields(clone, finished)
