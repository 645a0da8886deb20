"""The Fourier neural operator beside our networks: the same function as its package's, trained and measured by us."""

import json
import sys

import fields
import pytest
import torch

from mnn import fno, model_file, train
from mnn.baselines import mean_predictor, relative_errors
from mnn.data import FieldSet
from mnn.parameters import count_parameters


@pytest.fixture
def arguments(shards, tmp_path):
    sets = [part for role in ("train", "validation", "test") for part in (f"--{role}", getattr(shards, role))]
    return [*sets, "--output", str(tmp_path / "fno.json"), "--threads", "1", "--device", "cpu"]


def refused(arguments):
    with pytest.raises(ValueError, match=r".") as caught:
        fno.main(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_package_is_named(arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuralop.models", None)
    assert "neuraloperator: not installed" in refused([*arguments, "--parameters", "1000", "--epochs", "1"])


def test_what_is_missing_or_not_allowed_is_named(arguments):
    assert "parameters: missing" in refused(arguments)
    assert "epochs or seconds: missing" in refused([*arguments, "--parameters", "1000"])
    assert "seconds: -1.0 given" in refused([*arguments, "--parameters", "1000", "--seconds", "-1"])


@pytest.fixture(scope="module")
def models():
    return pytest.importorskip("neuralop.models", reason="the extra `fno` is not installed")


@pytest.mark.parametrize(("shape", "periodic"), [((32,), True), ((8, 8), False)])
def test_members_are_the_packages_operators(models, shape, periodic):
    size = fno.size_near(2000, shape, periodic, modes=6)
    assert 1000 <= size.parameters <= 4000
    network = fno.FourierOperator(size, (3, 5))
    assert sum(parameter.numel() for parameter in network.parameters()) == 2 * size.parameters
    v = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(v), network(torch.stack([v, v])))
    torch.manual_seed(5)
    torch.testing.assert_close(network(v)[1], size.build()(v.unsqueeze(1)).squeeze(1))
    if periodic:
        torch.testing.assert_close(network(v.roll(5, 1)), network(v).roll(5, 2), atol=1e-5, rtol=1e-4)


def test_a_budget_taken_from_a_model_is_its_time(models, command, arguments, tmp_path):
    assert train.main(command(tmp_path, epochs=40)) == 0
    like = ["--like", str(tmp_path / "model.safetensors"), "--optimiser", "nadam", "--modes", "4"]
    assert fno.main([*arguments, *like]) == 0
    found = json.loads((tmp_path / "fno.json").read_text())
    model = model_file.load(tmp_path / "model.safetensors")
    assert 0.5 <= found["baselines"]["fno"]["parameters"] / count_parameters(model.network) <= 2
    taken = sum(outcome["seconds"] for outcome in found["optimisers"])
    assert 0.1 < taken / (model.record["seconds"] / 2) < 3


def test_both_optimisers_learn_and_the_better_one_is_reported(models, arguments, tmp_path):
    asked = ["--parameters", "900", "--modes", "8", "--epochs", "6", "--members", "2"]
    assert fno.main([*arguments, *asked]) == 0
    found = json.loads((tmp_path / "fno.json").read_text())
    trained = {outcome["optimiser"]: outcome for outcome in found["optimisers"]}
    assert set(trained) == {"nadam", "soap"}
    trained_on, held = (FieldSet(*fields.pairs(*drawn), {}, "") for drawn in ((64, 0), (24, 2)))
    constant = relative_errors(mean_predictor(trained_on).predict, held).mean()
    for outcome in trained.values():
        assert max(outcome["test"]) < 0.5 * constant
    best = min(trained.values(), key=lambda outcome: max(outcome["validation"]))
    assert found["baselines"]["fno"]["test_mean"] == max(best["test"])
