"""The tiny study through the Slurm profile on a real Slurm of one node: MPI jobs, job arrays, a stand-in GPU."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SITE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]
SITE += ["--seconds-between-status-checks", "2", "--latency-wait", "20"]
"""What differs on the test's Slurm: no accounting database, and a first look at jobs after seconds."""


@pytest.fixture(scope="module")
def slurm():
    """Skip where no Slurm answers."""
    if shutil.which("sinfo") is None:
        pytest.skip("no Slurm on this machine (sinfo is not there); make test-cluster installs one")
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60)
    if shown.returncode != 0:
        pytest.skip("Slurm does not answer (scontrol fails); make test-cluster starts one")
    if not re.search(r"^ClusterName\s*= mnn-h2-test$", shown.stdout, re.MULTILINE):
        pytest.skip("this Slurm is not the tests' own; make test-cluster starts one where there is none")


@pytest.fixture(scope="module")
def submitted(slurm, fresh):
    """A copy of the project in which one figure of the tiny study was made through Slurm."""
    fresh.configure(lambda config: config.update(figures={"fig_samples": config["figures"]["fig_samples"]}))
    done = fresh.snakemake("--profile", "workflow/profiles/slurm", *SITE, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    return fresh


def resources(rule, clone):
    """Of every job of a rule submitted from a folder: tasks, resources allocated, array and state, by name."""
    columns = "Comment:200,ArrayJobID:20,JobID:20,NumTasks:12,tres-alloc:100,StateCompact:8,WorkDir:300"
    listed = ["squeue", "--states=all", "--noheader", "--array", f"--Format={columns}"]
    lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    names = ("comment", "array", "job", "tasks", "allocated", "state", "folder")
    known = [dict(zip(names, line.split(), strict=True)) for line in lines if f"rule_{rule}" in line]
    found = [job for job in known if job["folder"] == str(clone.folder)]
    assert {job["state"] for job in found} == {"CD"}
    return found


def test_every_figure_and_table_is_there(submitted):
    results = submitted.folder / "results/quick"
    for suffix in ("pdf", "png", "svg"):
        assert (results / f"figures/fig_samples.{suffix}").stat().st_size > 5000
    table = pd.read_csv(results / "tables/fig_samples.csv")
    errors = table[table["kind"] == "network"]["test_mean"]
    assert len(errors) == 4
    assert errors.between(0, 1, inclusive="neither").all()


def test_solver_jobs_are_mpi_jobs(submitted):
    jobs = resources("generate", submitted)
    assert len(jobs) == 4
    assert {job["tasks"] for job in jobs} == {"2"}
    assert all("cpu=2," in job["allocated"] for job in jobs)
    logs = [path.read_text() for path in submitted.folder.glob("results/quick/logs/generate/**/*.log")]
    assert len(logs) == 4
    assert all("2 ranks" in log for log in logs)


def test_trainings_are_one_array_and_hold_the_gpu(submitted):
    jobs = resources("train", submitted)
    assert len(jobs) == 2
    assert len({job["array"] for job in jobs}) == 1
    assert all("gres/gpu=1" in job["allocated"] for job in jobs)


def test_short_jobs_share_a_submission(submitted):
    assert len(resources("check", submitted)) == 4
    assert len(resources("publish", submitted)) == 1


def test_memory_asked_for_is_the_rule_s(submitted):
    assert all("mem=1000M" in job["allocated"] for job in resources("generate", submitted))


def test_the_same_study_is_then_complete(submitted):
    assert submitted.planned() == {}
