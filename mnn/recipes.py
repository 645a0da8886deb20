"""Training recipes: everything about a training but the network, the data, the epochs and the seeds. Free of torch."""

import math
from dataclasses import asdict, dataclass, fields, replace

OPTIMISERS = ("nadam", "soap")
SCHEDULES = ("constant", "cosine")
NORMALISATIONS = ("mean", "standard", "pointwise")
LOSSES = ("square", "relative")


def _within(value: float, low: float, high: float | None) -> bool:
    return value >= low and (high is None or value <= high)


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: {value!r} given, {', '.join(map(repr, allowed))} allowed")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    optimiser : {"nadam", "soap"}
    learning_rate : float
        The highest of the schedule.
    schedule : {"constant", "cosine"}
        ``"cosine"`` rises over the first ``warm_up`` of all steps and falls to zero along half a cosine.
    warm_up : float
        Share of all steps, 0 to 1.
    normalisation : {"mean", "standard", "pointwise", "automatic"}
        See :func:`mnn.normalise.fit`; ``"automatic"`` is ``"standard"`` for a network that commutes with
        translations (by boxes) and ``"pointwise"`` for any other.
    initial : str
        Initial weights by name, see :func:`mnn.network`.
    batches : int
        Batches an epoch where no batch size is given; the paper takes 50 to 100.
    loss : {"square", "relative"}
        What is minimised, averaged over samples: the mean square over the grid of the normalised output's residual, or
        the relative error (4.1) itself, which a few hard samples dominate less.
    average : float
        Decay of an exponential moving average of the weights, 0 for none; the averaged network is the result.
    shifts : bool
        Translate every sample of a batch at random along the axes: pairs of fields that the map itself implies. Done
        where the data set is periodic.
    linear : bool
        Fit the best linear map in closed form first (:mod:`mnn.linear`); the network learns what that leaves over.
    """

    optimiser: str
    learning_rate: float
    schedule: str
    warm_up: float
    normalisation: str
    initial: str
    batches: int = 50
    loss: str = "square"
    average: float = 0.0
    shifts: bool = False
    linear: bool = False

    def __post_init__(self):
        _check("optimiser", self.optimiser, OPTIMISERS)
        _check("schedule", self.schedule, SCHEDULES)
        _check("normalisation", self.normalisation, (*NORMALISATIONS, "automatic"))
        _check("loss", self.loss, LOSSES)
        for name, low, high in (("learning_rate", 0, 10), ("warm_up", 0, 1), ("average", 0, 1), ("batches", 1, None)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not _within(value, low, high):
                raise ValueError(f"{name}: {value!r} given, a number from {low} to {high or 'any'} allowed")
        for name in ("shifts", "linear"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: {getattr(self, name)!r} given, true or false allowed")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step of ``steps``: a pure function, so that a resumed schedule is the same."""
        if self.schedule == "constant":
            return self.learning_rate
        rise = max(1, round(self.warm_up * steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1)))

    def statistics_for(self, spec) -> str:
        """Kind of normalisation for a network's specification: ``"automatic"`` resolved."""
        if self.normalisation != "automatic":
            return self.normalisation
        equivariant = spec.padding == "periodic" and spec.layers == "cnn"
        return "standard" if equivariant else "pointwise"

    def as_dict(self) -> dict:
        """JSON-ready copy."""
        return asdict(self)


RECIPES = {
    "paper": Recipe(
        optimiser="nadam", learning_rate=1e-3, schedule="constant", warm_up=0.0, normalisation="mean", initial="paper"
    ),
    "default": Recipe(
        optimiser="soap",
        learning_rate=8e-3,
        schedule="cosine",
        warm_up=0.02,
        normalisation="automatic",
        initial="positive",
        loss="relative",
        shifts=True,
    ),
}


def recipe(name: str, **overrides) -> Recipe:
    """Return a recipe by name, with some of its values replaced.

    Raises
    ------
    ValueError
        If the name or an override is unknown or its value not allowed; one line.
    """
    _check("recipe", name, tuple(RECIPES))
    known = {field.name for field in fields(Recipe)}
    for key in overrides:
        if key not in known:
            raise ValueError(f"overrides: {key!r} given, {', '.join(sorted(known))} allowed")
    try:
        return replace(RECIPES[name], **overrides)
    except ValueError as error:
        raise ValueError(f"overrides.{error}") from None
