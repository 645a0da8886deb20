"""
# The number of weights

How large a network becomes when the grid becomes finer. A dense layer has as many weights as the matrix has entries.
MNN-H² with weights for every box (LC) grows in proportion to the grid; with weights shared by all boxes of a level
(CNN) a finer grid costs the weights of one more level.
"""

import matplotlib.pyplot as plt

from mnn import NetworkSpec
from mnn.parameters import closed_form

levels = range(3, 14)
points = [5 * 2**level for level in levels]
figure, axes = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
axes.loglog(points, [n**2 for n in points], "k:", label="one dense layer")
for architecture in ("mnn-h", "mnn-h2"):
    for layers in ("lc", "cnn"):
        specs = [
            NetworkSpec(shape=(n,), levels=level, rank=6, depth=5, architecture=architecture, layers=layers)
            for n, level in zip(points, levels, strict=True)
        ]
        counts = [sum(closed_form(spec).values()) for spec in specs]
        name = f"{architecture.upper().replace('H2', 'H²')}, {layers.upper()}"
        axes.loglog(points, counts, "o-" if architecture == "mnn-h2" else "s--", ms=4, label=name)
        print(f"{name}: {counts[3]} weights for {points[3]} points, {counts[-1]} for {points[-1]}")
axes.set(xlabel="grid points N", ylabel="weights (r = 6, K = 5)")
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
plt.show()
