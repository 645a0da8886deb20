"""Files that are damaged, half-written or do not fit, and memory that does not suffice."""

import os
import subprocess

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import load_file

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.timeout(900)]

FOLDER = "results/quick/data/nlse_1d/train"
SHARD = f"{FOLDER}/000000-000032.nc"
MODEL = "results/quick/models/nlse_1d/small_r2_K2_n32_default/model.safetensors"


@pytest.fixture
def untrained(finished, tmp_path):
    """A copy of the finished study without one of its networks."""
    clone = finished.copy(tmp_path / "copy")
    (clone.folder / MODEL).unlink()
    return clone


def assert_as_undisturbed(clone, finished):
    """Fields and weights are those of the undisturbed run."""
    assert (clone.folder / SHARD).read_bytes() == (finished.folder / SHARD).read_bytes()
    expected, got = load_file(finished.folder / MODEL), load_file(clone.folder / MODEL)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)


def said(done):
    """Return what a run that failed said."""
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_a_flipped_byte_is_found_before_training(untrained, finished):
    path = untrained.folder / SHARD
    values = xr.load_dataset(path)["ground_state"].values.tobytes()
    content, status = bytearray(path.read_bytes()), path.stat()
    content[content.index(values[:64]) + 10] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as the disk would: no time stamp tells
    message = said(untrained.snakemake(MODEL))
    assert f"error: {SHARD}: " in message
    assert "checksum" in message
    assert not (untrained.folder / MODEL).exists()
    untrained.run("--forcerun", SHARD, "--", MODEL)
    assert_as_undisturbed(untrained, finished)


def test_a_half_written_file_is_found_by_the_checker(untrained, finished):
    path = untrained.folder / SHARD
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    message = said(untrained.snakemake(MODEL))
    assert "Error in rule check" in message
    assert f"{SHARD}: truncated or damaged" in message
    untrained.run("--forcerun", SHARD, "--", MODEL)
    assert_as_undisturbed(untrained, finished)


def test_what_a_crashed_job_leaves_behind_is_swept_away(untrained, finished):
    model = untrained.folder / MODEL
    left = model.with_name(f".{model.name}.tmp")
    left.write_bytes(b"half a file")
    untrained.run(MODEL)
    assert not left.exists()
    assert_as_undisturbed(untrained, finished)


@pytest.fixture
def small_disk(clone):
    """A copy of the project whose data go to a file system too small for a shard; call it to make it larger."""
    folder = clone.folder / "results/quick/data"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here ({mounted.stderr.strip()})")
    yield lambda: subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_file(small_disk, clone, finished):
    message = said(clone.snakemake(SHARD))
    assert f"{SHARD}: cannot be written, is the disk full?" in message
    assert "Traceback" not in message
    assert not list((clone.folder / "results/quick/data").rglob("*.nc*"))
    small_disk()
    clone.run(SHARD)
    assert (clone.folder / SHARD).read_bytes() == (finished.folder / SHARD).read_bytes()


def test_a_job_that_needs_more_memory_gets_it_on_the_next_attempt(untrained, finished):
    done = untrained.snakemake("--retries", "1", "--set-resources", "train:mem_mb=150 * attempt ** 2", "--", MODEL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error in rule train" in done.stderr
    assert_as_undisturbed(untrained, finished)
