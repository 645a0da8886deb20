"""Killed or asked to end, a training goes on to the very same weights; a foreign checkpoint is refused."""

import os
import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from mnn import train
from mnn.files import read_tensors, write_tensors

EPOCHS = 100


def finish(process, code=0):
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err


def when_under_way(process, folder, seconds):
    """Wait until a checkpoint of this process is there, and some time more."""
    kept = folder / "kept.st"
    before = kept.stat().st_mtime_ns if kept.exists() else 0
    while process.poll() is None and (not kept.exists() or kept.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(seconds)


def test_killed_and_resumed_is_undisturbed_bit_for_bit(command, start, tmp_path):
    folders = [tmp_path / "undisturbed", tmp_path / "disturbed"]
    lines = [command(folder, epochs=EPOCHS, every=every) for folder, every in zip(folders, (30, 0.05), strict=True)]
    finish(start("mnn.train", lines[0]))
    chance = random.Random(1)
    for blow, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = start("mnn.train", lines[1])
        when_under_way(process, folders[1], chance.uniform(0, 0.3))
        process.send_signal(blow)
        finish(process, code)
        assert not (folders[1] / "model.safetensors").exists()
    stopped_at = read_tensors(folders[1] / "kept.st", "mnn-h2 checkpoint 1")[1]["progress"]
    assert 0 < stopped_at["epoch"] + stopped_at["step"] < EPOCHS
    finish(start("mnn.train", lines[1]))
    expected, found = (load_file(folder / "model.safetensors") for folder in folders)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert sorted(path.name for path in folders[1].iterdir()) == ["history.csv", "model.safetensors"]
    histories = [[line.split(",") for line in (f / "history.csv").read_text().splitlines()] for f in folders]
    assert len(histories[0]) == EPOCHS + 1
    for undisturbed, disturbed in zip(*histories, strict=True):
        assert undisturbed[0] == disturbed[0]
        assert undisturbed[2:] == disturbed[2:]


@pytest.fixture
def kept(command, tmp_path, monkeypatch):
    """Arguments of a training that was stopped after some steps, and its checkpoint."""
    arguments = command(tmp_path, epochs=2)
    monkeypatch.setattr(train.Keeper, "remove", lambda self: None)

    def asked_after_five_steps(self, job):
        if job.steps_done == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return after_step(self, job)

    after_step = train.Keeper.after_step
    monkeypatch.setattr(train.Keeper, "after_step", asked_after_five_steps)
    assert train.main(arguments) == 143
    return tmp_path / "kept.st"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": {"levels": 3, "rank": 3, "depth": 2}}, "network.rank: 2 there, 3 asked for"),
        ({"epochs": 3}, "epochs: 2 there, 3 asked for"),
        ({"seed": 4}, "seeds: [3, 4] there, [4, 5] asked for"),
        ({"n_train": 60}, "data.train.checksum"),
        ({"overrides": {"learning_rate": 0.01}}, "recipe.learning_rate: 0.008 there, 0.01 asked for"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_by_name(command, kept, tmp_path, change, words):
    before = kept.read_bytes()
    with pytest.raises(ValueError, match="a checkpoint of another training") as caught:
        train.main(command(tmp_path, **{"epochs": 2, **change}))
    assert words in str(caught.value)
    assert str(kept) in str(caught.value)
    assert kept.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_checkpoint_is_one_line(command, tmp_path, content):
    (tmp_path / "kept.st").write_bytes(content)
    with pytest.raises(ValueError, match=r"kept\.st: not a readable safetensors file") as caught:
        train.main(command(tmp_path, epochs=2))
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_last_file(tmp_path, monkeypatch):
    path = tmp_path / "file.safetensors"
    write_tensors(path, {"a": torch.ones(2)}, {"format": "test"})

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save", full)
    with pytest.raises(OSError, match="no space"):
        write_tensors(path, {"a": torch.zeros(2)}, {"format": "test"})
    assert torch.equal(read_tensors(path, "test")[0]["a"], torch.ones(2))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.safetensors"]
