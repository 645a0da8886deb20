"""Too little memory is one line that says the sizes that fit."""

import re
import resource
import subprocess
import sys

import pytest
import torch

import mnn
from mnn import memory, train

CPU = torch.device("cpu")


def said(arguments):
    with pytest.raises(ValueError, match=r"^memory: ") as caught:
        train.main(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sizes_that_are_said_to_fit_do(command, tmp_path, monkeypatch):
    network = mnn.network(shape=(32,), levels=3, rank=2, depth=2, members=4)
    room = 10 * memory.step_bytes(network, CPU)
    monkeypatch.setattr(memory, "free", lambda device: room)
    line = said(command(tmp_path, members=4, batch_size=8))
    assert "4 members at batch_size 8 take" in line
    found = {name: int(size) for name, size in re.findall(r"(members|batch_size) (\d+)(?= or| would)", line)}
    assert found == {"members": 1, "batch_size": 2}
    assert train.main(command(tmp_path, epochs=1, **found)) == 0


def test_a_step_takes_what_was_reckoned(monkeypatch):
    made = []
    network = mnn.network(shape=(320,), levels=6, rank=6, depth=5, members=2)
    v = torch.zeros(160, 320)
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a: made.append(empty(*a)) or made[-1])
    network(v).square().sum().backward()
    states = max(tensor.nbytes for tensor in made)
    assert 0.7 * 320 * memory.step_bytes(network, CPU) < states < 320 * memory.step_bytes(network, CPU)


@pytest.mark.parametrize("stage", ["prepare", "watch"])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_any_shortage_is_one_line(command, tmp_path, monkeypatch, stage, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(train, stage, fail)
    line = said(command(tmp_path))
    expected = "64 samples of 32 points take" if stage == "prepare" else "2 members at batch_size 8 take"
    assert expected in line


def test_a_limit_too_low_to_start_with_is_refused(command, tmp_path):
    limited = ["sh", "-c", 'ulimit -Sd 200000; exec "$0" "$@"', sys.executable, "-m", "mnn.train", *command(tmp_path)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: memory: limited to 195 MB")
    assert done.stderr.count("\n") == 1


def test_what_is_free_heeds_the_limit_of_the_process():
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (memory.free(CPU) // 2, hard))
        used = memory._table("/proc/self/status")["VmData"]
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
        assert memory.free(CPU) == pytest.approx(limit - used - memory.RESERVE, abs=2**22)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
