"""
# A matrix in a network

MNN-H² without its nonlinearity is the product with an H²-matrix. A matrix whose entries are known can therefore be
loaded into a network, without any training: the network then *is* the matrix, up to an error that falls with the rank.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import mnn
from mnn import h2matrix

# %%
# The matrix is Green's function of $k^2 u - u'' = v$ on a circle of length one: the solution is $u = A v$.


def green(x, y, k=5.0):
    distance = np.abs(x - y)
    distance = np.minimum(distance, 1 - distance)
    return np.cosh(k * (0.5 - distance)) / (2 * k * np.sinh(k / 2))


x = np.arange(320) / 320
dense = green(x[:, None], x[None])
v = np.random.default_rng(0).standard_normal((50, 320))
exact = v @ dense.T

# %%
# For every rank: the matrix in nested bases, the network that holds it, and the error of the network's output.

ranks, errors, weights = range(2, 10), [], []
for rank in ranks:
    matrix = h2matrix.from_kernel(green, shape=(320,), levels=6, rank=rank)
    network = matrix.to_network()
    output = network(torch.from_numpy(v)).detach().numpy()
    assert np.allclose(output, matrix.apply(v), rtol=0, atol=1e-12 * np.abs(exact).max())
    errors.append(np.linalg.norm(output - exact) / np.linalg.norm(exact))
    weights.append(mnn.count_parameters(network))
    print(f"rank {rank}: {matrix.stored:6d} numbers of {dense.size}, relative error {errors[-1]:.0e}")

# %%

figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.semilogy(ranks, errors, "o-")
axes.set(xlabel="rank r", ylabel="relative error of the network", title="Loaded, not trained")
axes.grid(alpha=0.3)
plt.show()
