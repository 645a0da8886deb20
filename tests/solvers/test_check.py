"""The checker finds what was done to a file, also where the checksum was made anew, and tells how to mend it."""

import json
import shlex
import shutil
from dataclasses import replace

import netCDF4
import numpy as np
import pytest
from commands import generate_arguments, run

from solvers import dataset
from solvers.check import check, choose, main, remedy
from solvers.dataset import DatasetError
from solvers.nlse import NonlinearSchroedinger


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "shard.nc"
    result = run("solvers.generate", generate_arguments(path, 20, 60))
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture
def shard(made, tmp_path):
    return shutil.copy(made, tmp_path / "copy.nc")


def sign_again(path):
    """Make the checksum fit the fields, as an honest writer of wrong data would."""
    data = dataset.read(path, verify=False)
    with netCDF4.Dataset(path, "a") as file:
        file.checksum = data.checksum


def fails(path, *words, **options):
    with pytest.raises(DatasetError) as error:
        check(path, **options)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_good_file_passes(shard):
    report = check(shard)
    assert report["checksum"] == dataset.read(shard).checksum
    assert (report["samples"], report["shape"], report["solved_again"]) == (40, [24], 8)
    assert report["residual"] <= NonlinearSchroedinger.tolerance
    assert 0 < report["difference"] < 1e-6 < report["allowed"]
    assert check(shard, deep=True)["solved_again"] == 40
    assert json.loads(json.dumps(report)) == report


def test_a_wrong_solution_is_found(shard):
    with netCDF4.Dataset(shard, "a") as file:
        file["ground_state"][7] *= 1.001
    fails(shard, "checksum mismatch")
    sign_again(shard)
    fails(shard, "ground_state of sample 27 differs by 1.0e-03", "gradient_flow", deep=True)


def test_solutions_of_other_fields_are_found(shard):
    with netCDF4.Dataset(shard, "a") as file:
        file["potential"][7] = file["potential"][8]
    sign_again(shard)
    fails(shard, "potential of sample 27", "the field of its parameters", deep=True)


def test_the_subset_follows_from_the_checksum_alone(shard):
    found = dataset.inspect(shard)
    other = replace(found, attrs={"checksum": f"sha256:{1:064x}"})
    np.testing.assert_array_equal(np.concatenate(choose(found, 8, 5)), np.concatenate(choose(found, 8, 3)))
    assert [len(rows) for rows in choose(found, 8, 5)] == [5, 3]
    assert len(np.unique(np.concatenate(choose(found, 8, 5)))) == 8
    assert set(np.concatenate(choose(found, 8, 5))) != set(np.concatenate(choose(other, 8, 5)))
    np.testing.assert_array_equal(np.concatenate(choose(found, 99, 7)), np.arange(40))


def change_variable(name, row, value):
    def change(file):
        file[name][row] = value

    return change


def change_attribute(name, value):
    def change(file):
        file.setncattr(name, value)

    return change


def drop_attribute(name):
    return lambda file: file.delncattr(name)


def rename_variable(name):
    return lambda file: file.renameVariable(name, "other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_variable("residual", 3, 1.0), "residual 1.0e+00 of sample 23 found"),
        (change_variable("residual", 3, np.nan), "residual of sample 3"),
        (change_variable("strength", 3, 2.5), "strength is not what seed 3 draws"),
        (change_variable("centre", 0, 0.5), "centre is not what seed 3 draws"),
        (change_variable("variance", 39, 3e-3), "variance is not what seed 3 draws"),
        (change_variable("fallback", 3, 1), "1 samples are marked"),
        (change_variable("sample", 3, 99), "sample is not consecutive"),
        (change_variable("x", slice(None), np.arange(24) / 25), "coordinate x is not the grid of nlse"),
        (rename_variable("iterations"), "no variable iterations"),
        (change_attribute("seed", np.int64(4)), "attribute seed: 4 found, 3 expected"),
        (change_attribute("split", "train"), "attribute split: 'train' found, 'test' expected"),
        (change_attribute("spec", "{"), "attribute spec"),
        (change_attribute("spec", "[]"), "attribute spec"),
        (change_attribute("start", np.int64(21)), "attributes say 21 to 60"),
        (drop_attribute("checksum"), "attribute checksum is missing"),
        (drop_attribute("title"), "attribute title: None found"),
    ],
)
def test_what_accompanies_the_fields_is_checked(shard, change, words):
    with netCDF4.Dataset(shard, "a") as file:
        change(file)
    fails(shard, words)


def test_what_the_robust_method_cannot_solve_is_told(shard, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(NonlinearSchroedinger, "tolerance", 1e-30)
        patch.setattr("solvers.check._check_record", lambda *arguments: {})
        fails(shard, "cannot be solved again", "did not converge")


def test_a_difference_larger_than_the_problem_allows_fails(shard, monkeypatch):
    monkeypatch.setattr(NonlinearSchroedinger, "agreement", -1.0)
    fails(shard, "ground_state of sample", "at most -1.0e+00 allowed")


def test_the_remedy_makes_the_file_again(made, shard):
    good = made.read_bytes()
    with netCDF4.Dataset(shard, "a") as file:
        file["ground_state"][7] *= 1.001
    program, dash_m, module, *arguments = shlex.split(remedy(shard, DatasetError("wrong")))
    assert (program, dash_m, module) == ("python", "-m", "solvers.generate")
    assert run(module, arguments).returncode == 0
    assert shard.read_bytes() == good


def test_a_users_own_file_gets_the_contract_alone(samples):
    with netCDF4.Dataset(path := samples.shard(0, 20), "a") as file:
        file.delncattr("spec")
    report = check(path)
    assert report == {"path": str(path), "samples": 20, "shape": [6, 4], "checksum": dataset.read(path).checksum}
    with netCDF4.Dataset(path, "a") as file:
        file.delncattr("checksum")
        file["density"][3, 2, 1] = np.nan
    fails(path, "density of sample 3")
    assert "docs/data_format.md" in remedy(path, DatasetError("wrong"))
    assert remedy(path, DatasetError("wrong", "mend it so")) == "mend it so"


def test_the_command_line(shard, tmp_path):
    report, missing = tmp_path / "reports" / "check.json", tmp_path / "missing.nc"
    result = run("solvers.check", [shard, "--subset", "2", "--report", report])
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{shard}: ok: 40 samples, sha256:")
    assert json.loads(report.read_text())["ok"] is True
    result = run("solvers.check", [missing, shard, "--report", report])
    assert result.returncode == 1
    assert result.stderr.startswith(f"{missing}: no such file\n  to mend: ")
    assert result.stdout.startswith(f"{shard}: ok")
    findings = json.loads(report.read_text())
    assert findings["ok"] is False
    assert [file["ok"] for file in findings["files"]] == [False, True]


@pytest.mark.parametrize("arguments", [[], ["a.nc", "--subset", "0"], ["a.nc", "--subset", "x"], ["--deeep", "a.nc"]])
def test_mistakes_on_the_command_line(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["check", *arguments])
    assert main() == 2
    assert capsys.readouterr().err.startswith("check: ")
