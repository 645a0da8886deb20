"""A recorded step does what the step does, and where it cannot be recorded, the step itself is taken."""

import numpy as np
import pytest
import torch

import mnn
from mnn import graphs, normalise
from mnn.recipes import recipe
from mnn.training import Plan, Samples, Training

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def begun(device, shape=(32,), **overrides):
    v = np.random.default_rng(0).random((64, *shape), np.float32)
    pair = v, np.roll(v, 1, 1) ** 2
    chosen = recipe("default", **overrides)
    statistics = normalise.fit(*pair, "standard")
    network = mnn.network(shape=shape, levels=3, rank=2, depth=2, members=2, seed=(1, 2), initial=chosen.initial)
    samples = Samples.prepare(*pair, statistics, torch.device(device))
    return Training(network.to(device), Plan(chosen, 3, 8, (1, 2)), samples, samples)


def trained(device, **overrides):
    job = begun(device, **overrides)
    assert job.run(lambda _: False, lambda _: None)
    return job


@pytest.mark.parametrize("shape", [(32,), (16, 16)], ids=str)
@pytest.mark.parametrize("overrides", [{}, {"optimiser": "nadam"}, {"shifts": False, "average": 0.9}], ids=str)
def test_a_step_leaves_the_device_alone(shape, overrides):
    """On torch's device without numbers, whatever asks for one, or for a tensor of the host, is refused."""
    job = begun("meta", shape, **overrides)
    for _ in range(2 * job.optimiser.period if job.plan.recipe.optimiser == "soap" else 2):
        job._descend()
        job.step %= job.steps_per_epoch
    with pytest.raises(RuntimeError, match="meta"):
        job.sums.tolist()


@GPU
@pytest.mark.parametrize("overrides", [{}, {"optimiser": "nadam"}, {"shifts": True}])
def test_a_recorded_training_is_the_same(monkeypatch, overrides):
    recorded = trained("cuda", **overrides)
    monkeypatch.setattr("mnn.training.captured", lambda work, *sums: work)
    for other, tolerance in ((trained("cuda", **overrides), 1e-4), (trained("cpu", **overrides), 1e-3)):
        for ours, theirs in zip(recorded.history, other.history, strict=True):
            for name in ("loss", "train_error", "validation_error"):
                np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance)


@GPU
def test_a_step_does_not_wait_for_the_gpu():
    job = trained("cuda")
    job.step = 0
    torch.cuda.set_sync_debug_mode("error")
    try:
        job._descend()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_without_a_graph_the_work_itself_is_done(monkeypatch, caplog):
    def refuse(*arguments):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", refuse)
    total = torch.ones(2)

    def work():
        total.add_(1)

    assert graphs.captured(work, total) is work
    assert total.tolist() == [1, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "no CUDA graph, every operation is launched by itself: operation not permitted when stream is capturing"
    ]
