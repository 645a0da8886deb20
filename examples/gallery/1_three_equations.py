"""
# Three equations, three maps

Every problem of the paper maps a random field to the solution of an equation. Here are two samples of each in one
dimension: what goes in, and what comes out.
"""

import matplotlib.pyplot as plt

import solvers
from solvers import wells

# %%
# A problem is an equation on a grid; a law of random fields draws what goes in. Both are those of `config.yaml`: the
# background potential of a nonlinear Schrödinger equation, the scattering coefficient of a slab, and the potential
# that two electrons see.

maps = {
    "ground state": (
        solvers.problem("nlse", shape=(320,), beta=10.0),
        wells.Wells(wells=2, strength=(1, 4), variance=(0.002, 0.004), centre=(0, 1)),
    ),
    "photon density": (
        solvers.problem("rte", shape=(320,), absorption=0.2),
        wells.Wells(wells=2, sign=1, strength=(0.1, 0.3), variance=(0.002, 0.004), centre=(0.2, 0.8)),
    ),
    "electron density": (
        solvers.problem("kohn_sham", shape=(320,), n_electrons=2),
        wells.Wells(
            wells=2,
            strength=(0.8, 1.2),
            variance=(0.0025, 0.0025),
            centre=(-1, 1),
            amplitude="plain",
            separation=0.1,
        ),
    ),
}

# %%
# Sample *i* is a function of the seed, the split and *i* alone, and a batch is solved at once. The residual is that
# of the equation itself, measured for every sample.

figure, panels = plt.subplots(2, 3, figsize=(9, 4.4), sharex="col", layout="constrained")
for (title, (problem, law)), (above, below) in zip(maps.items(), panels.T, strict=True):
    drawn = wells.draw(law, problem, seed=1, split="test", start=0, stop=2)
    field = wells.synthesise(law, problem, drawn)
    solution = problem.solve(field)
    print(f"{title}: residual {solution.residual.max():.1e} after {solution.iterations.max()} iterations")
    (points,) = problem.coordinates()
    above.plot(points, field.T)
    above.set(title=title, ylabel=problem.input.long_name)
    below.plot(points, solution.values.T)
    below.set(xlabel="x", ylabel=problem.output.long_name)
plt.show()
