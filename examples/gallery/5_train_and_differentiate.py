"""
# Train a network and ask it for a derivative

From random potentials to a trained network in half a minute, and a question that no sample answers: how does the
ground state in one place change with the potential in every other place? The network can be differentiated.
"""

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import xarray as xr

import mnn
import mnn.train
import solvers
from solvers import wells

problem = solvers.problem("nlse", shape=(80,), beta=10.0)
law = wells.Wells(wells=2, strength=(1, 4), variance=(0.002, 0.004), centre=(0, 1))
folder = Path(tempfile.mkdtemp())

# %%
# The data set: any netCDF file with two variables of the same shape would do
# ([your own data](../../own_data.md)).

for split, count in (("train", 1000), ("validation", 100), ("test", 100)):
    potential = wells.synthesise(law, problem, wells.draw(law, problem, seed=5, split=split, start=0, stop=count))
    fields = {
        "potential": (("sample", "x"), potential),
        "ground_state": (("sample", "x"), problem.solve(potential).values),
    }
    names = {"input_variable": "potential", "output_variable": "ground_state", "periodic": 1}
    xr.Dataset(fields, {"x": problem.coordinates()[0]}, names).to_netcdf(folder / f"{split}.nc")

# %%
# The training is the command `python -m mnn.train`, called from Python.

model = folder / "model.safetensors"
options = {
    "network": json.dumps({"levels": 4, "rank": 4, "depth": 3}),
    "training": json.dumps({"recipe": "default", "epochs": 40}),
    "train": folder / "train.nc",
    "validation": folder / "validation.nc",
    "model": model,
    "history": folder / "history.csv",
    "checkpoint": folder / "checkpoint.safetensors",
    "threads": 1,
}
mnn.train.main([word for option, value in options.items() for word in (f"--{option}", str(value))])

# %%
# A model is called like a function, on fields in physical units.

surrogate = mnn.load(model)
test = xr.open_dataset(folder / "test.nc")
predicted = surrogate(test["potential"])
error = np.sqrt(((predicted - test["ground_state"]) ** 2).sum("x") / (test["ground_state"] ** 2).sum("x"))
print(f"{mnn.count_parameters(surrogate.network)} weights, mean relative test error {float(error.mean()):.1e}")

# %%
# How does the ground state at x = 1/2 answer to a small well, of the width of those in the training, put in any place?
# The network's gradient, from one backward pass, is multiplied by the wells; the equation is solved twice for each of
# the 80 places. For changes much narrower than that the gradient means nothing: all potentials of the training were
# smooth, and no sample has told the network what a rougher one does.

(x,) = problem.coordinates()
distance = np.abs(x[:, None] - x)
well = -np.exp(-(np.minimum(distance, 1 - distance) ** 2) / (2 * 0.003))
given, place, step = test["potential"].values[:1], 40, 0.1

field = torch.from_numpy(given).requires_grad_()
(gradient,) = torch.autograd.grad(surrogate(field)[0, place], field)
learned = well @ gradient[0].numpy()
deeper, shallower = problem.solve(given + step * well).values, problem.solve(given - step * well).values
solved = (deeper - shallower)[:, place] / (2 * step)
print(f"relative difference {np.linalg.norm(learned - solved) / np.linalg.norm(solved):.2f}")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained")
pd.read_csv(folder / "history.csv").filter(like="validation").plot(ax=left, logy=True, legend=False)
left.set(title="training", xlabel="epoch", ylabel="validation error")
middle.plot(x, test["ground_state"][0], "k", lw=3, alpha=0.3, label="solver")
middle.plot(x, predicted[0], label="network")
middle.set(title="ground state u", xlabel="x")
middle.legend()
right.plot(x, solved, "k", lw=3, alpha=0.3, label="solver, 160 solutions")
right.plot(x, learned, label="network, one backward pass")
right.set(title="change of u(1/2)", xlabel="place of a small well")
right.legend(fontsize=7)
plt.show()
