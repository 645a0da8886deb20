"""The engine: what a step computes, members that do not know of each other, recipes, mistakes of the user."""

import csv
import json
import shutil
import sys

import fields
import netCDF4
import numpy as np
import pytest
import torch

import mnn
from mnn import model_file, normalise, train
from mnn.baselines import relative_errors
from mnn.data import FieldSet
from mnn.files import read_tensors
from mnn.linear import fit_invariant
from mnn.recipes import recipe
from mnn.training import DivergedError, Plan, Samples, Training, batch_order, errors

SPEC = {"shape": (fields.POINTS,), **fields.NETWORK}


def training(seeds, epochs=3, name="default", batch_size=8, count=32, rank=2, **overrides):
    chosen = recipe(name, **overrides)
    data, held = fields.pairs(count, 0), fields.pairs(16, 1)
    kind = "mean" if chosen.normalisation == "mean" else "standard"
    statistics = normalise.fit(*data, kind)
    network = mnn.network(**{**SPEC, "rank": rank}, members=len(seeds), seed=list(seeds), initial=chosen.initial)
    sets = (Samples.prepare(*pair, statistics, torch.device("cpu")) for pair in (data, held))
    return Training(network, Plan(chosen, epochs, batch_size, tuple(seeds)), *sets)


def run(job):
    assert job.run(lambda _: False, lambda _: None)
    return job


@pytest.mark.parametrize("name", ["default", "paper"])
def test_a_member_is_the_same_alone_and_in_company(name):
    together = run(training((5, 6, 7), name=name)).network.state_dict()
    for member, seed in enumerate((5, 6, 7)):
        alone = run(training((seed,), name=name)).network.state_dict()
        for key, tensor in alone.items():
            assert torch.equal(tensor[0], together[key][member]), f"seed {seed}, {key}"


@pytest.mark.parametrize("name", ["default", "paper"])
def test_a_state_carries_everything(name):
    straight = run(training((1, 2), name=name, average=0.9))
    broken = training((1, 2), name=name, average=0.9)
    for stop in (3, 6, 7):
        broken.run(lambda job, stop=stop: job.steps_done >= stop, lambda _: None)
        tensors, values = broken.state()
        tensors = {key: tensor.clone() for key, tensor in tensors.items()}
        broken = training((1, 2), name=name, average=0.9)
        broken.load(tensors, json.loads(json.dumps(values)))
    run(broken)
    with straight.result() as expected, broken.result() as found:
        for key, tensor in expected.state_dict().items():
            assert torch.equal(tensor, found.state_dict()[key]), key
    drop = [[{k: v for k, v in row.items() if k != "seconds"} for row in job.history] for job in (straight, broken)]
    assert drop[0] == drop[1]


def test_first_step_of_the_paper_is_nadam_on_the_mean_square():
    job = training((4,), name="paper", count=8)
    twin = mnn.network(**SPEC, seed=4, initial="paper")
    v, u = fields.pairs(8, 0)
    inputs, targets = torch.from_numpy(v / v.mean(dtype=np.float64)), torch.from_numpy(u - u.mean(dtype=np.float64))
    ((twin(inputs.float()) - targets.float()) ** 2).mean().backward()
    torch.optim.NAdam(twin.parameters(), lr=1e-3, eps=1e-7, momentum_decay=4e-3).step()
    job.run(lambda _: True, lambda _: None)
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(dict(job.network.named_parameters())[name], parameter, atol=1e-6, rtol=1e-4)


def test_the_relative_loss_is_the_mean_error_and_its_gradient_is_that_of_the_norm():
    job = training((4,), loss="relative", shifts=False, count=8)
    v, u = (torch.from_numpy(field).double() for field in fields.pairs(8, 0))
    twin = mnn.network(**SPEC, seed=4, initial="positive").double()
    statistics = normalise.fit(*fields.pairs(8, 0), "standard")
    predicted = statistics.output.invert(twin(statistics.input.apply(v)))
    loss = (torch.linalg.norm(predicted - u, dim=1) / torch.linalg.norm(u, dim=1)).mean()
    loss.backward()
    job.choose()
    job._differentiate()
    assert job.sums[0].item() == job.sums[1].item() == pytest.approx(loss.item(), rel=1e-5)
    gradients = job.parameters.named(job.parameters.gradients)
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(gradients[name].double(), parameter.grad, atol=1e-6, rtol=1e-3)


def test_a_sample_without_error_has_no_gradient():
    job = training((3,), loss="relative", shifts=False, count=8)
    with torch.no_grad():
        job.train.output.copy_(job.network(job.train.input.unsqueeze(0))[0])
    job.choose()
    job._differentiate()
    assert not job.parameters.gradients.any()


def test_the_error_is_the_papers():
    job = training((0, 1))
    v, u = fields.pairs(16, 1)
    statistics = normalise.fit(*fields.pairs(32, 0), "standard")
    with torch.no_grad():
        prediction = statistics.output.invert(job.network(statistics.input.apply(torch.from_numpy(v)))).numpy()
    expected = np.linalg.norm(prediction - u, axis=2) / np.linalg.norm(u, axis=1)
    np.testing.assert_allclose(errors(job.network, job.validation).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["standard", "pointwise"])
def test_normalised_training_fields_have_mean_zero_and_mean_square_one(kind):
    v, u = fields.pairs(200, 0)
    statistics = normalise.fit(v, u, kind)
    axis = 0 if kind == "pointwise" else None
    for side, field in ((statistics.input, v), (statistics.output, u)):
        normal = side.apply(torch.from_numpy(field)).numpy()
        np.testing.assert_allclose(normal.mean(axis=axis), 0, atol=1e-5)
        assert np.mean(normal**2) == pytest.approx(1, rel=1e-5)
        np.testing.assert_allclose(side.invert(side.apply(torch.from_numpy(field))).numpy(), field, atol=1e-5)


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own():
    orders = [batch_order(seed, epoch, 40, 8) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert order.shape == (5, 8)
        np.testing.assert_array_equal(np.sort(order, axis=None), np.arange(40))
    assert len({order.tobytes() for order in orders}) == 4
    assert batch_order(0, 0, 43, 8).shape == (5, 8)


def test_cosine_rises_falls_and_ends_near_zero():
    chosen = recipe("default", warm_up=0.1, learning_rate=1.0)
    rates = np.array([chosen.rate(step, 100) for step in range(100)])
    assert rates.argmax() in (9, 10)
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[55] == pytest.approx(0.5, abs=0.02)
    assert rates[-1] < 1e-3


def test_shifted_pairs_are_pairs_of_the_map():
    job = training((0,), shifts=True)
    job.choose()
    inputs, targets = job.batch()
    statistics = normalise.fit(*fields.pairs(32, 0), "standard")
    v, u = (side.invert(t)[0].numpy() for side, t in ((statistics.input, inputs), (statistics.output, targets)))
    np.testing.assert_allclose(u, 2 + (np.roll(v, 1, 1) + v + np.roll(v, -1, 1)) / 3 + 0.1 * v**2, atol=1e-5)
    original = fields.pairs(32, 0)[0][job.order[0, 0].numpy()]
    assert not np.allclose(v, original, atol=1e-3)
    np.testing.assert_allclose(np.sort(v, axis=1), np.sort(original, axis=1), atol=1e-5)


def test_the_average_follows_the_weights():
    job = training((0,), average=0.9)
    expected = job.parameters.weights.clone()
    for step in range(6):
        job.run(lambda _: True, lambda _: None)
        expected.lerp_(job.parameters.weights, 1 - min(0.9, (1 + step) / (10 + step)))
    with job.result() as network:
        own = torch.cat([tensor.flatten() for tensor in job.parameters.named(expected).values()])
        held = torch.cat([dict(network.named_parameters())[n].flatten() for n in job.parameters.named(expected)])
        torch.testing.assert_close(held.detach(), own, atol=1e-7, rtol=0)


def test_learns_more_than_the_best_linear_map():
    found = run(training((0, 1), epochs=40, count=256, rank=4)).history[-1]["validation_error"]
    train_set, held = (FieldSet(*fields.pairs(*drawn), {}, "") for drawn in ((256, 0), (16, 1)))
    linear = relative_errors(fit_invariant(train_set.input, train_set.output), held).mean()
    assert max(found) < 0.5 * linear


def test_divergence_is_named_with_its_seed():
    job = training((3, 8))
    job.network.adjacent["1"].weight.data[1] = float("nan")
    with pytest.raises(DivergedError, match="seed 8 is not finite in epoch 1"):
        run(job)


def test_a_diverging_training_ends_with_one_line_and_its_last_good_checkpoint(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mnn.recipes.Recipe.rate", lambda self, step, steps: float("inf") if step == 20 else 1e-3)
    assert train.main(command(tmp_path, recipe="paper")) == 1
    line = capsys.readouterr().err
    assert line.startswith("error: the loss of seed 3, 4 is not finite in epoch 3")
    assert line.count("\n") == 1
    assert "kept.st" in line
    tensors, _ = read_tensors(tmp_path / "kept.st", "mnn-h2 checkpoint 1")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert not (tmp_path / "model.safetensors").exists()


def mistake(capsys, arguments):
    with pytest.raises(ValueError, match=r".") as caught:
        train.main(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def constant(path):
    return fields.shard(path, 64, 0, pair=(fields.pairs(64, 0)[0], np.ones((64, fields.POINTS), np.float32)))


def with_nan(path):
    v, u = fields.pairs(64, 0)
    v[3, 4] = np.nan
    return fields.shard(path, 64, 0, pair=(v, u))


def truncated(path):
    whole = fields.shard(path, 64, 0)
    path.write_bytes(path.read_bytes()[:9000])
    return whole


def foreign(path):
    path.write_text("not a data set")
    return str(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs: 0 given"),
        ({"batch_size": 65}, "batch_size: 65 given, at most the 64"),
        ({"recipe": "best"}, "recipe: 'best' given, 'paper', 'default' allowed"),
        ({"overrides": {"rate": 1}}, "overrides: 'rate' given"),
        ({"overrides": {"schedule": "linear"}}, "schedule: 'linear' given"),
        ({"colour": 1}, "training: key 'colour' given"),
        ({"n_train": 65}, "n_train: 65 given, 1 to 64 allowed"),
        ({"network": {"levels": 4, "rank": 2}}, "depth: missing"),
        ({"network": {**fields.NETWORK, "shape": [64]}}, "network.shape: "),
    ],
)
def test_mistakes_in_the_arguments_are_one_line(command, tmp_path, capsys, change, words):
    assert words in mistake(capsys, command(tmp_path, **change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "words"),
    [(constant, "output: the same"), (with_nan, "NaN"), (truncated, "damaged"), (foreign, "not a netCDF file")],
)
def test_mistakes_in_the_data_are_one_line(command, tmp_path, capsys, make, words):
    data = make(tmp_path / "data.nc")
    folder = tmp_path / "out"
    arguments = command(folder)
    arguments[arguments.index("--train") + 1] = data
    assert words in mistake(capsys, arguments)
    assert not folder.exists()


def test_shifts_are_refused_where_the_data_are_not_periodic(command, tmp_path, shards, capsys):
    with netCDF4.Dataset(shutil.copy(shards.train, tmp_path / "bounded.nc"), "a") as file:
        file.periodic = 0
    arguments = command(tmp_path, overrides={"shifts": True})
    arguments[arguments.index("--train") + 1] = str(tmp_path / "bounded.nc")
    assert "overrides.shifts: true given" in mistake(capsys, arguments)
    arguments[arguments.index("--training") + 1] = json.dumps({"epochs": 1})  # the recipe's own are left out
    assert train.main(arguments) == 0
    assert model_file.load(tmp_path / "model.safetensors").record["recipe"]["shifts"] is False


def test_another_device_is_refused(command, tmp_path, capsys):
    assert "device: 'cuda:99' given" in mistake(capsys, [*command(tmp_path), "--device", "cuda:99"])
    assert "device: 'tpu' given" in mistake(capsys, [*command(tmp_path), "--device", "tpu"])


def test_a_mistake_ends_the_process_with_2_and_one_line(command, tmp_path, start):
    process = start("mnn.train", command(tmp_path, n_train=1000))
    out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert err.startswith("error: n_train: 1000 given")
    assert err.count("\n") == 1


def test_the_history_has_a_line_an_epoch(command, tmp_path):
    assert train.main(command(tmp_path, epochs=3)) == 0
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["validation_error_seed4"]) < float(rows[0]["validation_error_seed4"])


def test_a_tensorboard_log_has_every_epoch_once_after_a_resume(command, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    arguments = [*command(tmp_path, epochs=4), "--tensorboard", str(tmp_path / "board")]
    stop = train.Keeper.after_step
    monkeypatch.setattr(train.Keeper, "after_step", lambda self, job: stop(self, job) or job.epoch == 2)
    train.main(arguments)
    monkeypatch.undo()
    assert train.main(arguments) == 0
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "validation_error"):
        found = {event.step: event.value for event in board.Scalars(f"{name}/seed4")}
        assert list(found) == [1, 2, 3, 4]
        np.testing.assert_allclose(list(found.values()), [float(row[f"{name}_seed4"]) for row in rows], rtol=1e-6)


def test_a_missing_tensorboard_is_named(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert "tensorboard: not installed" in mistake(capsys, [*command(tmp_path), "--tensorboard", str(tmp_path)])
