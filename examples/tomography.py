"""Optical tomography: find the scattering coefficient mu_s inside a body from a noisy picture of the light u in it.

    python -m examples.tomography MODEL TEST.nc --pictures 4 --noise 0.001 --figure tomography.png

MODEL is a surrogate of mu_s -> u and TEST.nc a shard of its test set, in one or two dimensions. The unknown field is
softplus(g), g a smooth Gaussian field: cosines with coefficients z that are normal and independent. All ways minimise
|u(z) - picture|^2 / noise^2 + |z|^2, whose least value is the peak of the posterior. The solver has no gradient: its
way is Gauss-Newton with finite differences, a solve for every cosine. The surrogate's gradient costs as much as two
predictions, however many cosines there are: its way is L-BFGS. What it finds can be where the solver's way starts.
"""

import argparse
import time
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from scipy.optimize import least_squares

from mnn.surrogate import Surrogate, load
from solvers import dataset
from solvers.problem import Problem
from solvers.specification import Specification

STEP = 0.03
"""Step of the finite differences, in standard deviations of a coefficient; well above the solver's own error."""


class SmoothFields:
    """Positive fields softplus(g) on the unit cube; g has a mean, a deviation and a length over which it varies."""

    def __init__(self, problem: Problem, mean: float = -1.0, deviation: float = 1.5, length: float = 0.12):
        waves = np.pi * np.arange(int(np.sqrt(-4 * np.log(0.01)) / (np.pi * length)) + 1)
        weights = np.exp(-((waves * length) ** 2) / 4)
        scale = reduce(np.multiply.outer, [weights] * len(problem.shape))
        axes = [np.cos(waves[:, None] * points) for points in problem.coordinates()]
        modes = axes[0] if len(axes) == 1 else np.einsum("ax,by->abxy", *axes)
        modes = (scale[scale > 0.01] * modes[scale > 0.01].T).T
        self.modes, self.mean = deviation * modes / np.sqrt(np.square(modes).sum(axis=0).mean()), mean

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Map coefficients (..., modes) to fields (..., *shape)."""
        return np.logaddexp(0, self.mean + np.tensordot(z, self.modes, 1))

    def tensor(self, z: torch.Tensor) -> torch.Tensor:
        """The same in torch."""
        return torch.nn.functional.softplus(self.mean + torch.tensordot(z, torch.from_numpy(self.modes), 1))


@dataclass
class Found:
    """Reconstructions: coefficients (pictures, modes), maps evaluated (with or without a gradient), seconds."""

    z: np.ndarray
    evaluations: int
    seconds: float


def by_surrogate(surrogate: Surrogate, prior: SmoothFields, pictures: np.ndarray, noise: float) -> Found:
    """Minimise for all pictures at once by L-BFGS with the surrogate's gradient; its own error counts as noise."""
    began, evaluations = time.perf_counter(), 0
    error = float(np.median(surrogate.record["validation_error"])) * np.sqrt(np.square(pictures).mean())
    noise, pictures = np.hypot(noise, error), torch.from_numpy(pictures)
    z = torch.zeros(len(pictures), len(prior.modes), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([z], max_iter=150, tolerance_change=1e-4, line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:
        nonlocal evaluations
        evaluations += len(z)
        optimiser.zero_grad()
        value = (((surrogate(prior.tensor(z)) - pictures) / noise).square().sum() + z.square().sum()) / 2
        value.backward()
        return value

    optimiser.step(objective)
    return Found(z.detach().numpy(), evaluations, time.perf_counter() - began)


def by_solver(problem: Problem, prior: SmoothFields, pictures: np.ndarray, noise: float, starts=None) -> Found:
    """Minimise for one picture after the other by Gauss-Newton with finite differences of the solver."""
    began, evaluations = time.perf_counter(), 0
    starts = np.zeros((len(pictures), len(prior.modes))) if starts is None else starts

    def residuals(z: np.ndarray, picture: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        evaluations += len(z)
        misfit = (problem.solve(prior(z)).values - picture).reshape(len(z), -1) / noise
        return np.concatenate([misfit, z], axis=1)

    def jacobian(z: np.ndarray, picture: np.ndarray) -> np.ndarray:
        values = residuals(np.concatenate([z[None], z + STEP * np.eye(len(z))]), picture)
        return (values[1:] - values[0]).T / STEP

    def solve(picture: np.ndarray, start: np.ndarray) -> np.ndarray:
        run = least_squares(lambda z: residuals(z[None], picture)[0], start, lambda z: jacobian(z, picture), ftol=1e-2)
        return run.x

    z = np.array([solve(picture, start) for picture, start in zip(pictures, starts, strict=True)])
    return Found(z, evaluations, time.perf_counter() - began)


def reconstruct(surrogate: Surrogate, problem: Problem, prior: SmoothFields, pictures: np.ndarray, noise: float):
    """Take all ways: name -> what was found."""
    by_surrogate(surrogate, prior, pictures[:1], 100 * noise)  # compiled kernels are loaded before any time is taken
    problem.solve(pictures[:1])
    first = by_surrogate(surrogate, prior, pictures, noise)
    again = by_solver(problem, prior, pictures, noise, first.z)
    again = Found(again.z, again.evaluations + first.evaluations, again.seconds + first.seconds)
    ways = {"surrogate, L-BFGS": first, "solver, Gauss-Newton": by_solver(problem, prior, pictures, noise)}
    return ways | {"surrogate, then solver": again}


def relative(field: np.ndarray, truth: np.ndarray) -> float:
    """Relative l2 distance."""
    return float(np.linalg.norm(field - truth) / np.linalg.norm(truth))


def draw(path: str, panels: dict[str, np.ndarray]) -> None:
    """Draw fields side by side; the second, the picture, has a scale of its own."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(2.1 * len(panels), 2), layout="constrained")
    top = max(field.max() for i, field in enumerate(panels.values()) if i != 1)
    for i, (axis, (name, field)) in enumerate(zip(axes, panels.items(), strict=True)):
        limits = {} if i == 1 else {"vmin": 0, "vmax": top}
        if field.ndim == 1:
            axis.plot((np.arange(len(field)) + 0.5) / len(field), field)
            axis.set_ylim(limits.get("vmin"), limits.get("vmax"))
        else:
            axis.set_axis_off()
            figure.colorbar(axis.imshow(field.T, origin="lower", cmap="cividis", **limits), ax=axis, shrink=0.6)
        axis.set_title(name, fontsize=8)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main(arguments=None) -> None:
    """Reconstruct the first samples of a shard in all ways, print means over them, and draw the first."""
    parser = argparse.ArgumentParser(prog="python -m examples.tomography", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="surrogate of mu_s -> u")
    parser.add_argument("shard", help="shard of its test set")
    parser.add_argument("--pictures", type=int, default=4, help="samples of the shard to find; default: 4")
    parser.add_argument("--noise", type=float, default=0.001, help="deviation over the mean of u; default: 0.001")
    parser.add_argument("--length", type=float, default=0.12, help="over which mu_s varies; default: 0.12")
    parser.add_argument("--figure", metavar="FILE", help="drawing to write")
    options = parser.parse_args(arguments)
    surrogate, source = load(options.model), dataset.inspect(options.shard)
    problem = Specification.from_json(source.attrs["spec"]).problem
    truths, clean = np.moveaxis(source.rows(np.arange(options.pictures)).astype(np.float64), 1, 0)
    noise, prior = options.noise * clean.mean(), SmoothFields(problem, length=options.length)
    pictures = clean + noise * np.random.default_rng(0).standard_normal(clean.shape)
    ways = reconstruct(surrogate, problem, prior, pictures, noise)
    print(f"{len(prior.modes)} unknowns a picture     error in mu_s   evaluations   seconds   a picture")
    shown = {r"truth $\mu_s$": truths[0], "picture $u$": pictures[0]}
    for name, found in ways.items():
        fields = prior(found.z)
        errors = [relative(field, truth) for field, truth in zip(fields, truths, strict=True)]
        each = found.evaluations // len(fields), found.seconds / len(fields)
        print(f"{name:24}{np.mean(errors):18.3f}{each[0]:14}{each[1]:10.2f}")
        shown[f"{name}: {errors[0]:.1%} off"] = fields[0]
    if options.figure:
        draw(options.figure, shown)


if __name__ == "__main__":
    main()
