"""
# Light in a square

Radiative transfer in two dimensions: scattering bumps in a square that absorbs, lit from everywhere inside. What the
bumps change is small beside what is there without them, and this is what a network has to learn.
"""

import matplotlib.pyplot as plt
import numpy as np

import solvers
from solvers import wells

problem = solvers.problem("rte", shape=(80, 80), absorption=0.2, sphere_measure="2pi")
law = wells.Wells(
    wells=2, sign=1, amplitude="normalised", strength=(0.01, 0.03), variance=(0.002, 0.004), centre=(0.2, 0.8)
)
field = wells.synthesise(law, problem, wells.draw(law, problem, seed=1, split="test", start=0, stop=1))

# %%
# The same equation with no scattering gives the density that all samples share.

scattered = problem.solve(field).values[0]
empty = problem.solve(np.zeros_like(field)).values[0]
change = scattered - empty
print(f"scattering changes the density by {np.abs(change).max() / empty.max():.2%} at most")

# %%

figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
shown = {"scattering coefficient": field[0], "photon density": scattered, "what scattering changes": change}
for axes, (title, values) in zip(panels, shown.items(), strict=True):
    image = axes.imshow(values.T, origin="lower", extent=(0, 1, 0, 1))
    axes.set(title=title, xticks=[0, 1], yticks=[0, 1])
    figure.colorbar(image, ax=axes, shrink=0.8)
plt.show()
