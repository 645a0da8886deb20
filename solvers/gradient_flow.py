"""Ground states of (4.2) by the normalised gradient flow, backward Euler, the method the paper names."""

import numpy as np

from solvers.spectral import apply_symbol

STEPS = 500
"""Most steps of the flow."""

REDUCTION = 1e-2
"""To what part of its right-hand side the linear system of a step is solved."""

INNER_STEPS = 300
"""Most conjugate gradient iterations of a step."""


def gradient_flow(field: np.ndarray, beta: float, symbol: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the normalised gradient flow of every sample to its ground state.

    A step of backward Euler, linearised about u, is (H + 2 beta u^2 - E + sigma) d = -(H - E) u with d tangent to the
    sphere, u <- (u + d) / |u + d|. sigma is one over the time step plus the constant by which V is shifted: V as
    printed is negative, and without the shift the operator is indefinite and the flow ends in a wrong state. sigma
    starts above E - min V, which makes the operator positive, and shrinks as the residual does: H - E is bounded
    below by minus the residual once E has come near the lowest eigenvalue. A step that raises the energy is
    repeated with four times the sigma.

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
    state = _State(field, values, beta, symbol)
    sigma = state.energy - field.reshape(len(field), -1).min(axis=1) + 1
    for _ in range(STEPS):
        values[active] = state.values
        iterations[active] += 1
        going = ~(norm(state.gradient) <= state.rounding())
        active, state, sigma = active[going], state.take(going), sigma[going]
        if not len(active):
            break
        sigma = np.maximum(sigma, 2 * norm(state.gradient))
        trial = state.step(sigma)
        better = trial.functional <= state.functional + state.rounding_energy()
        state.update(trial, better)
        sigma = np.where(better, sigma / 4, sigma * 4)
    converged = np.ones(len(field), dtype=bool)
    converged[active] = False
    values *= column(np.where(mean(values) < 0, -1.0, 1.0), values)
    return values, iterations, converged


class _State:
    """Ground-state candidates of a batch, with what a step of the flow needs."""

    def __init__(self, field, values, beta, symbol):
        self.field, self.values, self.beta, self.symbol = field, values, beta, symbol
        self.kinetic = apply_symbol(symbol, values)
        self.density = beta * values**2
        mass = mean(values**2)
        linear = mean(values * self.kinetic) + mean(field * values**2)
        quartic = mean(self.density * values**2)
        self.energy = (linear + quartic) / mass
        self.functional = (linear + quartic / 2) / mass
        self.gradient = self.kinetic + (field + self.density - column(self.energy, field)) * values

    def take(self, rows):
        part = object.__new__(_State)
        part.beta, part.symbol = self.beta, self.symbol
        for name in ("field", "values", "kinetic", "density", "energy", "functional", "gradient"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    def update(self, trial, rows):
        for name in ("values", "kinetic", "density", "energy", "functional", "gradient"):
            getattr(self, name)[rows] = getattr(trial, name)[rows]

    def rounding(self):
        """Size of the rounding errors of the gradient, (batch,): those of the transform and of the sum's terms."""
        spread = np.abs(self.field - column(self.energy, self.field)).reshape(len(self.field), -1).max(axis=1)
        return np.finfo(float).eps * (self.symbol.max() + spread)

    def rounding_energy(self):
        return 1e-13 * (np.abs(self.functional) + mean(np.abs(self.field * self.values**2)))

    def step(self, sigma):
        diagonal = self.field + 3 * self.density + column(sigma - self.energy, self.field)
        values = self.values + _tangent_solve(diagonal, self.symbol, self.values, -self.gradient)
        values /= column(norm(values), values)
        return _State(self.field, values, self.beta, self.symbol)


def _tangent_solve(diagonal, symbol, u, right):
    """Solve (-Laplacian + diagonal) d = right within the tangent space at u by conjugate gradients.

    Preconditioned by (-Laplacian + c)^-1, c the typical size of the diagonal, between projections. A sample whose
    operator turns out indefinite is left at the solution it had reached.
    """
    inverse = 1 / (symbol + column(np.sqrt(mean(diagonal**2)), right))
    d, rest = np.zeros_like(right), _tangent(u, right)
    target = REDUCTION * norm(rest)
    z = _tangent(u, apply_symbol(inverse, rest))
    direction, product = z, mean(rest * z)
    going = np.ones(len(right), dtype=bool)
    for _ in range(INNER_STEPS):
        image = _tangent(u, apply_symbol(symbol, direction) + diagonal * direction)
        curvature = mean(direction * image)
        going &= (norm(rest) > target) & (curvature > 0)
        if not going.any():
            break
        length = column(np.where(going, product / np.where(going, curvature, 1), 0), right)
        d += length * direction
        rest -= length * image
        z = _tangent(u, apply_symbol(inverse, rest))
        previous, product = product, mean(rest * z)
        direction = z + column(np.where(going, product / np.where(going, previous, 1), 0), right) * direction
    return d


def _tangent(u, values):
    """Part of ``values`` orthogonal to u, |u| = 1."""
    return values - column(mean(u * values), u) * u


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the grid of each sample, (batch,)."""
    return values.reshape(len(values), -1).mean(axis=1)


def norm(values: np.ndarray) -> np.ndarray:
    """Root mean square over the grid of each sample, (batch,)."""
    return np.sqrt(mean(values * values))


def column(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Numbers of each sample, shaped to broadcast against fields."""
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))
