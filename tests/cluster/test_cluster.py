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
    """A copy of the project in which one figure was made through Slurm, first all data, then the rest."""

    def two_trainings(config):
        del config["claims"]
        config["figures"] = {"fig_rank": config["figures"]["fig_rank"] | {"sweep": {"rank": [1, 2]}}}

    fresh.configure(two_trainings)
    fresh.runs = []
    for target in ("data", "all"):
        done = fresh.snakemake("--profile", "workflow/profiles/slurm", *SITE, target, timeout=1100)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        fresh.runs.append(re.search(r"SLURM run ID: (\S+)", text).group(1))
    return fresh


def jobs(rule, submitted):
    """Return every job of a rule: tasks, resources allocated and asked for, array and state, by name."""
    columns = "Comment:200,ArrayJobID:20,NumTasks:12,tres-alloc:100,tres-per-job:50,StateCompact:8"
    listed = ["squeue", "--states=all", "--noheader", "--array", f"--name={','.join(submitted.runs)}"]
    listed += [f"--Format={columns}"]
    lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    names = ("comment", "array", "tasks", "allocated", "asked", "state")
    found = [dict(zip(names, line.split(), strict=True)) for line in lines if f"rule_{rule}" in line]
    assert {job["state"] for job in found} == {"CD"}
    return found


def test_every_figure_and_table_is_there(submitted):
    results = submitted.folder / "results/quick"
    for suffix in ("pdf", "png", "svg"):
        assert (results / f"figures/fig_rank.{suffix}").stat().st_size > 5000
    table = pd.read_csv(results / "tables/fig_rank.csv")
    errors = table[table["kind"] == "network"]["test_mean"]
    assert len(errors) == 4
    assert errors.between(0, 1, inclusive="neither").all()


def test_solver_jobs_are_mpi_jobs(submitted):
    solvers = jobs("generate", submitted)
    assert len(solvers) == 4
    assert {job["tasks"] for job in solvers} == {"2"}
    assert all("cpu=2," in job["allocated"] for job in solvers)
    logs = [path.read_text() for path in submitted.folder.glob("results/quick/logs/generate/**/*.log")]
    assert len(logs) == 4
    assert all("2 ranks" in log for log in logs)


def test_trainings_are_one_array_and_hold_the_gpu(submitted):
    trainings = jobs("train", submitted)
    assert len(trainings) == 2
    assert len({job["array"] for job in trainings}) == 1
    assert all(job["asked"] == "gres:gpu:1" for job in trainings)


def test_short_jobs_share_a_submission(submitted):
    assert len(jobs("check", submitted)) == 4
    assert len(jobs("publish", submitted)) == 1


def test_memory_asked_for_is_the_rule_s(submitted):
    assert all("mem=1000M" in job["allocated"] for job in jobs("generate", submitted))


def test_the_same_study_is_then_complete(submitted):
    assert submitted.planned() == {}
