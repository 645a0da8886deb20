"""Ground states of the nonlinear Schrödinger equation with a background potential, (4.2) of the paper."""

import math
from typing import ClassVar

import numpy as np

from solvers.problem import Attempt, Problem, Quantity
from solvers.spectral import apply_symbol, squared_wavenumbers


class NonlinearSchroedinger(Problem):
    """Ground state u of -Laplacian u + V u + beta u^3 = E u on the periodic unit cube, (4.2).

    Grid x_j = j / N, pseudo-spectral Laplacian, u normalised on the grid to mean(u^2) = 1, u > 0. For beta >= 0 the
    energy is convex in u^2, so that a positive solution is the ground state.

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis; one, two or three axes.
    beta : float
        Strength of the repulsion, at least 0.
    """

    name: ClassVar[str] = "nlse"
    title: ClassVar[str] = "Ground states of the nonlinear Schrödinger equation with random potential wells"
    equation: ClassVar[str] = "-Laplacian u + V u + beta u^3 = E u on [0, 1]^d, periodic, mean(u^2) = 1, u > 0"
    input: ClassVar[Quantity] = Quantity("potential", "V", "background potential")
    output: ClassVar[Quantity] = Quantity("ground_state", "u", "ground state, normalised to mean square 1")
    periodic: ClassVar[bool] = True
    lower: ClassVar[float] = 0.0
    length: ClassVar[float] = 1.0
    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    robust: ClassVar[str] = "gradient_flow"
    tolerance: ClassVar[float] = 1e-6

    def __init__(self, shape: tuple[int, ...], beta: float = 10.0):
        super().__init__(shape)
        if isinstance(beta, bool) or not isinstance(beta, (int, float, np.number)) or not 0 <= beta < math.inf:
            raise ValueError(f"beta: {beta!r} given, a finite number of at least 0 allowed")
        self.beta = float(beta)
        self.block_size = 256 if len(self.shape) == 1 else 64
        self.symbol = squared_wavenumbers(self.shape, self.length)

    @property
    def parameters(self) -> dict:
        """Coefficients of the equation."""
        return {"beta": self.beta}

    @property
    def methods(self):
        """``"fast"`` and ``"gradient_flow"``."""
        return {"fast": self.gradient_flow, "gradient_flow": self.gradient_flow}

    def residual(self, field: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Relative residual of (4.2) in the l2 norm, plus the defect |mean(u^2) - 1|.

        The residual is taken relative to |Laplacian u| + |(V - E) u| + |beta u^3| + (2 pi)^2 |u|, the last term the
        kinetic energy of the first harmonic; it does not change when a constant is added to V. It is infinite where
        u is not positive on average.
        """
        flow = _Flow(field, values, self.beta, self.symbol)
        kinetic, gap = flow.kinetic, (field - _column(flow.energy, field)) * values
        cubic = self.beta * values**3
        scale = _norm(kinetic) + _norm(gap) + _norm(cubic) + (2 * math.pi) ** 2 * _norm(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = _norm(kinetic + gap + cubic) / scale + np.abs(_mean(values**2) - 1)
        return np.where(_mean(values) > 0, relative, np.inf)

    def gradient_flow(self, field: np.ndarray) -> Attempt:
        """Normalised gradient flow by backward Euler, iterated until the residual is at rounding level."""
        values = np.empty_like(field)
        iterations = np.empty(len(field), dtype=np.int64)
        reliable = np.empty(len(field), dtype=bool)
        tile = max(1, 2**19 // math.prod(self.shape))
        for start in range(0, len(field), tile):
            rows = slice(start, start + tile)
            values[rows], iterations[rows], reliable[rows] = gradient_flow(field[rows], self.beta, self.symbol)
        return Attempt(values, iterations, reliable)


def problem(shape: tuple[int, ...], **parameters) -> NonlinearSchroedinger:
    """Make the problem; see `NonlinearSchroedinger`."""
    unknown = sorted(set(parameters) - {"beta"})
    if unknown:
        raise ValueError(f"{unknown[0]}: not a parameter of nlse, beta allowed")
    return NonlinearSchroedinger(shape, **parameters)


STEPS = 2000
"""Most steps of the gradient flow."""


def gradient_flow(field: np.ndarray, beta: float, symbol: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the normalised gradient flow of every sample to its ground state.

    A step of backward Euler, with the density held, is (H - E + sigma) w = sigma u, u <- w / |w|, where sigma is one
    over the time step plus the constant by which V is shifted. V as printed is negative: without the shift the
    operator is indefinite and the flow ends in a wrong state. sigma starts at E - min V, which makes the operator
    positive, and shrinks to beta max(u^2), below which the held density makes the flow oscillate. A step that meets
    an indefinite operator or raises the energy is repeated with twice the sigma.

    Parameters
    ----------
    field : (batch, *shape) float64
        Potential V.
    beta : float
    symbol : array
        Symbol of -Laplacian, see `squared_wavenumbers`.

    Returns
    -------
    values : (batch, *shape) float64
    iterations : (batch,) int64
        Steps taken.
    converged : (batch,) bool
        Whether the residual came down to rounding level.
    """
    values = np.ones_like(field)
    iterations = np.zeros(len(field), dtype=np.int64)
    active = np.arange(len(field))
    state = _Flow(field, values, beta, symbol)
    sigma = state.energy - field.reshape(len(field), -1).min(axis=1) + 1
    for _ in range(STEPS):
        values[active] = state.values
        iterations[active] += 1
        going = ~state.at_rounding_level()
        active, state, sigma = active[going], state.take(going), sigma[going]
        if not len(active):
            break
        sigma = np.maximum(sigma, state.smallest_shift())
        trial = state.step(sigma)
        better = trial.functional <= state.functional + state.rounding_energy()
        state.update(trial, better)
        sigma = np.where(better, sigma / 2, sigma * 4)
    converged = np.ones(len(field), dtype=bool)
    converged[active] = False
    return values, iterations, converged


class _Flow:
    """Ground-state candidates of a batch, with what a step of the flow needs."""

    def __init__(self, field, values, beta, symbol):
        self.field, self.values, self.beta, self.symbol = field, values, beta, symbol
        self.kinetic = apply_symbol(symbol, values)
        self.density = beta * values**2
        mass = _mean(values**2)
        linear = _mean(values * self.kinetic) + _mean(field * values**2)
        quartic = _mean(self.density * values**2)
        self.energy = (linear + quartic) / mass
        self.functional = (linear + quartic / 2) / mass
        self.gradient = self.kinetic + (field + self.density - _column(self.energy, field)) * values

    def take(self, rows):
        part = object.__new__(_Flow)
        part.beta, part.symbol = self.beta, self.symbol
        for name in ("field", "values", "kinetic", "density", "energy", "functional", "gradient"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    def update(self, trial, rows):
        for name in ("values", "kinetic", "density", "energy", "functional", "gradient"):
            getattr(self, name)[rows] = getattr(trial, name)[rows]

    def rounding(self):
        """Size of the rounding errors of the gradient, (batch,): those of the transform and of the sum's terms."""
        spread = np.abs(self.field - _column(self.energy, self.field)).reshape(len(self.field), -1).max(axis=1)
        return np.finfo(float).eps * (self.symbol.max() + spread)

    def rounding_energy(self):
        return 1e-13 * (np.abs(self.functional) + _mean(np.abs(self.field * self.values**2)))

    def at_rounding_level(self):
        return _norm(self.gradient) <= self.rounding()

    def smallest_shift(self):
        density = self.density.reshape(len(self.field), -1).max(axis=1)
        return density + 2 * _norm(self.gradient)

    def step(self, sigma):
        """One step of backward Euler: w = u + d with (H - E + sigma) d = -(H - E) u."""
        diagonal = self.field + self.density + _column(sigma - self.energy, self.field)
        correction = _conjugate_gradients(diagonal, self.symbol, -self.gradient)
        values = self.values + correction
        values /= _column(_norm(values), values)
        return _Flow(self.field, values, self.beta, self.symbol)


def _conjugate_gradients(diagonal, symbol, right, reduction=1e-2, steps=200):
    """Solve (-Laplacian + diagonal) x = right for every sample to a relative ``reduction`` of the residual.

    Preconditioned by (-Laplacian + c)^-1, c the typical size of the diagonal. A sample whose operator turns out
    indefinite is left at the solution it had reached.
    """
    typical = np.sqrt(_mean(diagonal**2))
    inverse = 1 / (symbol + _column(typical, right))
    x = np.zeros_like(right)
    rest = right.copy()
    target = reduction * _norm(right)
    z = apply_symbol(inverse, rest)
    direction, product = z.copy(), _mean(rest * z)
    going = np.ones(len(right), dtype=bool)
    for _ in range(steps):
        image = apply_symbol(symbol, direction) + diagonal * direction
        curvature = _mean(direction * image)
        going &= (_norm(rest) > target) & (curvature > 0)
        if not going.any():
            break
        length = _column(np.where(going, product / np.where(going, curvature, 1), 0), right)
        x += length * direction
        rest -= length * image
        z = apply_symbol(inverse, rest)
        previous, product = product, _mean(rest * z)
        direction = z + _column(product / np.where(going, previous, 1), right) * direction
    return x


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the grid of each sample, (batch,)."""
    return values.reshape(len(values), -1).mean(axis=1)


def _norm(values: np.ndarray) -> np.ndarray:
    """Root mean square over the grid of each sample, (batch,)."""
    return np.sqrt(_mean(values * values))


def _column(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Numbers of each sample, shaped to broadcast against fields."""
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))
