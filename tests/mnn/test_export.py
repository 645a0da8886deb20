"""Models written for other programs: the numbers of the surrogate, without its package."""

import json
import subprocess
import sys

import fields
import numpy as np
import pytest
import torch

import mnn
from mnn import export, graph, model_file, normalise

GRID = {
    "shape": [fields.POINTS],
    "axes": {"x": fields.X.tolist()},
    "input": {"name": "velocity", "long_name": "velocity of the stream", "units": "m s-1"},
    "output": {"name": "density", "long_name": "density of the stream", "units": "kg m-3"},
}
APART = """
import sys, numpy, torch
program = torch.export.load(sys.argv[1], extra_files=(extra := {"mnn.json": ""}))
numpy.save(sys.argv[3], program.module()(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
assert "mnn" not in sys.modules
print(extra["mnn.json"])
"""


def model(path, invariant):
    """A model that adds to the best linear map what its network makes."""
    network = mnn.network(shape=(fields.POINTS,), **fields.NETWORK, members=2, seed=1, initial="positive")
    statistics = normalise.fit_rest(fields.pairs(64, 0), fields.pairs(16, 1), "pointwise", invariant)
    model_file.save(path, network.state_dict(), model_file.Model(network, statistics, GRID, {"epochs": 0}))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return model(tmp_path_factory.mktemp("model") / "model.safetensors", invariant=True)


def test_torch_alone_gives_the_surrogate_s_numbers(path, tmp_path, capsys):
    assert export.main([str(path), "-o", str(tmp_path / "model.pt2")]) == 0
    assert "model.pt2: " in capsys.readouterr().out
    v = fields.pairs(9, 5)[0]
    np.save(tmp_path / "v.npy", v)
    files = [str(tmp_path / name) for name in ("model.pt2", "v.npy", "u.npy")]
    done = subprocess.run([sys.executable, "-c", APART, *files], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "u.npy"), mnn.load(path)(v), rtol=2e-6)
    assert json.loads(done.stdout) == GRID


@pytest.mark.parametrize("invariant", [True, False])
def test_the_gradient_passes_through(tmp_path, invariant):
    surrogate = mnn.load(model(tmp_path / "model.safetensors", invariant))
    exported = graph.trace(surrogate).module()
    v = [torch.from_numpy(fields.pairs(1, 6)[0]).requires_grad_() for _ in range(2)]
    for run, given in zip((surrogate, exported), v, strict=True):
        run(given).square().sum().backward()
    np.testing.assert_allclose(v[1].grad, v[0].grad, rtol=1e-5, atol=1e-5)


def test_onnx_gives_one_member_s_numbers(path, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    output = tmp_path / "model.onnx"
    assert export.main([str(path), "-o", str(output), "--member", "1"]) == 0
    v = fields.pairs(4, 7)[0]
    np.testing.assert_allclose(graph.run_onnx(output, torch.from_numpy(v)), mnn.load(path)(v, 1), rtol=2e-6)
    model = onnx.load(output)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["velocity", "density"]
    (kept,) = (entry.value for entry in model.metadata_props if entry.key == "mnn.json")
    assert json.loads(kept) == GRID


def test_a_graph_that_changes_the_numbers_is_refused(path, tmp_path, monkeypatch):
    forward = graph.PhysicalNetwork.forward
    monkeypatch.setattr(graph.PhysicalNetwork, "forward", lambda self, field: forward(self, field) * 1.0001)
    with pytest.raises(ValueError, match=r"^output: differs from the model by 1.*e-04, at most 1e-05 allowed$"):
        export.main([str(path), "-o", str(tmp_path / "model.pt2")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "model.pt"], "output: model.pt given, a name that ends with .pt2 or .onnx allowed"),
        (["-o", "model.pt2", "--member", "2"], "member: '2' given, 0 to 1 allowed"),
    ],
)
def test_mistakes_are_one_line(path, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        export.main([str(path), *options])
