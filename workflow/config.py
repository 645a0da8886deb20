"""Models of config.yaml: every key, its type, its meaning and its limits, in one place.

The configuration reference in docs/ and ``workflow/schema.json`` are generated from these models.
"""

from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from mnn.recipes import recipe

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="lower-case letters, digits, - and _")]
Count = Annotated[int, Field(gt=0, strict=True)]


class ConfigError(ValueError):
    """A mistake in the configuration: one line with the key path, the value seen and what is allowed."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))  # keys are told as they are, line breaks within them are not


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Samples(Section):
    """Samples drawn for each use; each split has random numbers of its own."""

    train: Count
    """Training samples available."""
    validation: Count
    """Samples for choosing (best epoch, recipes), never for reported errors."""
    test: Count
    """Samples for the reported test errors."""


class DataSet(Section):
    """Pairs of fields: random inputs and the solutions of an equation."""

    title: str
    """Title for figures and reports."""
    problem: dict[str, Any]
    """Equation and grid: `name`, `shape` and the coefficients of `solvers.problem`."""
    field: dict[str, Any]
    """Distribution of the random input: the arguments of `solvers.wells.Wells`."""
    seed: Annotated[int, Field(ge=0, strict=True)]
    """Root of the data set's random numbers; sample i depends on it and on i alone."""
    precision: Literal["float32", "float64"] = "float32"
    """Precision of the stored fields; solving is always in float64."""
    samples: Samples
    """How many samples each split has."""
    shard: Count
    """Samples a file; each file is one solver job."""


class OwnDataSet(Section):
    """Pairs of fields in a file of your own; no solver takes part."""

    title: str
    """Title for figures and reports."""
    path: str
    """NetCDF file with an input and an output variable, each `(sample, x[, y[, z]])`; see docs/own_data.md."""
    input: str | None = None
    """Name of the input variable; what the file's attribute `input_variable` says without it."""
    output: str | None = None
    """Name of the output variable; what the file's attribute `output_variable` says without it."""
    periodic: bool | None = None
    """Whether the grid is periodic; what the file's attribute `periodic` says without it."""
    precision: Literal["float32", "float64"] = "float32"
    """Precision of the fields in the shards."""
    samples: Samples
    """How many samples each split has: the file's first ones train, the next validate, the next test."""
    shard: Count
    """Samples a shard."""

    @model_validator(mode="after")
    def both_names(self):
        """Names are given for both variables or for none."""
        if (self.input is None) != (self.output is None):
            given, missing = ("input", "output") if self.output is None else ("output", "input")
            raise ValueError(f"{missing}: missing, {given} is given; both or none allowed")
        return self


TAGS = {"[solved]": DataSet, "[own]": OwnDataSet}
"""Kinds of data sets; pydantic puts the tag into the path of an error, where no name of a user can look like it."""


def _kind_of_data(value: Any) -> str:
    return "[own]" if isinstance(value, OwnDataSet) or (isinstance(value, dict) and "path" in value) else "[solved]"


AnyData = Annotated[
    Annotated[DataSet, Tag("[solved]")] | Annotated[OwnDataSet, Tag("[own]")], Discriminator(_kind_of_data)
]


class Network(Section):
    """A multiscale network; the grid comes from the data set."""

    label: str
    """Name in legends."""
    architecture: Literal["mnn-h2", "mnn-h"]
    """Nested bases (this paper), or the baseline with one basis a level."""
    layers: Literal["cnn", "lc", "mix"]
    """Weights shared by all boxes, of each box its own, or mixed."""
    padding: Literal["periodic", "zero"]
    """What a box at the boundary sees beyond it."""
    levels: Annotated[int, Field(ge=2, strict=True)]
    """Level L of the finest boxes; a box has N / 2^L points an axis."""
    rank: Count
    """Channels r of a box: the rank of the far-field blocks."""
    depth: Count
    """Layers K of the kernel and the adjacent parts."""


class Training(Section):
    """How a network is trained."""

    recipe: Literal["default", "paper"]
    """`default`: ours; `paper`: Nadam at a constant rate as printed."""
    epochs: Count
    """Passes over the training samples."""
    batch_size: Count | None = None
    """Samples a step; without it the recipe's rule (between n_train/100 and n_train/50)."""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """Seed of the first member; the others count on from it."""
    overrides: dict[str, Any] = {}
    """Single values of the recipe that are replaced, e.g. `{linear: true}`; see mnn.recipes."""

    @model_validator(mode="after")
    def a_recipe(self):
        """What is replaced is a value of the recipe, and what replaces it is allowed."""
        recipe(self.recipe, **self.overrides)
        return self


class Series(Section):
    """One curve of a figure."""

    network: str
    """A name in `networks`."""
    training: str = "default"
    """A name in `training`."""
    label: str | None = None
    """Name in the legend; the network's label without it."""
    data_set: str | None = None
    """A name in `data_sets`; the figure's without it."""
    rank: Count | None = None
    """Channels r; the network's without it."""
    depth: Count | None = None
    """Layers K; the network's without it."""
    values: list[Count] | None = None
    """Values of the swept axis at which this curve is measured, none of them to leave it out of a tier; all of the
    figure's without it."""


Axis = Literal["n_train", "rank", "depth", "wells", "electrons"]
DATA_AXES = ("wells", "electrons")
"""Axes whose values are data sets of their own, harder or easier than the one that is named."""
UNSWEPT = ("predictions", "speed")
"""Kinds of figures without a swept axis."""
MOST_CURVES = {"error_and_spread": 2, "predictions": 1}
"""Kinds of figures with room for so many curves."""


class Figure(Section):
    """A figure of the results, declared: what is swept, what is held, how it is drawn."""

    title: str
    """What the figure shows."""
    caption: str
    """Caption in the report."""
    kind: Literal["error", "error_and_spread", "min_and_median", "parameters", "cost", "predictions", "speed"]
    """`error`: train and test error; `error_and_spread`: with the standard deviation over samples on a second axis,
    a panel a curve; `min_and_median`: test error of the seeds with the least and the median training error;
    `parameters`: sizes; `cost`: test error against size and against training time; `predictions`: samples beside the
    truth; `speed`: samples a second of the networks beside those of the solvers, a bar a curve."""
    data_set: str
    """A name in `data_sets`."""
    series: Annotated[list[Series], Field(min_length=1)]
    """The curves."""
    sweep: dict[Axis, Annotated[list[Count], Field(min_length=1)]] = {}
    """One axis and its values."""
    n_train: Count | None = None
    """Training samples used; all of the data set's without it."""
    n_test: Count | None = None
    """Test samples used; all of the data set's without it."""
    seeds: Count = 3
    """Networks trained from different seeds for every point."""
    relative_to: Literal["solution", "signal"] = "solution"
    """What errors are divided by: `solution`, the norm of u as in (4.1); `signal`, the norm of u - u_0, where u_0
    solves the equation for an input of zeros."""

    @model_validator(mode="after")
    def one_axis(self):
        """A figure sweeps one axis; pictures of predictions and of speed none."""
        expected = 0 if self.kind in UNSWEPT else 1
        if len(self.sweep) != expected:
            raise ValueError(f"sweep: {len(self.sweep)} axes given, kind {self.kind!r} takes {expected}")
        most = MOST_CURVES.get(self.kind, len(self.series))
        if len(self.series) > most:
            raise ValueError(f"series: {len(self.series)} curves given, kind {self.kind!r} takes {most}")
        return self

    @model_validator(mode="after")
    def values_are_swept(self):
        """A curve's values are among the figure's."""
        if all(series.values == [] for series in self.series):
            raise ValueError("series: no curve has values, at least one expected")
        swept = next(iter(self.sweep.values()), [])
        for i, series in enumerate(self.series):
            for value in set(series.values or ()) - set(swept):
                allowed = " or ".join(map(str, swept)) or "nothing"
                raise ValueError(f"series.{i}.values: {value} given, {allowed} allowed, what the figure sweeps")
        return self


class Claim(Section):
    """A statement of the paper as a check on a figure's table; see `workflow/claims.py` for the effects."""

    statement: str
    """The statement, in a sentence."""
    figure: str
    """The figure whose table decides."""
    effect: Literal["falls", "levels_off", "varies", "overfits", "beats", "exceeds"]
    """What is measured: how many times the quantity `falls` from `start` to `stop` along the axis; the first step's
    gain over the last's (`levels_off`); largest over least along the axis (`varies`); test over training error at
    `start`, or where that is the largest (`overfits`); the best linear map over this curve at `stop` (`beats`); this
    curve over the `other` (`exceeds`)."""
    curve: str | None = None
    """The curve; every curve of the figure without it."""
    other: str | None = None
    """The curve to compare with."""
    column: Literal["test_mean", "test_std", "train_mean", "train_std", "parameters"] = "test_mean"
    """The quantity."""
    start: Count | None = None
    """Value of the axis the effect begins at; the first without it."""
    stop: Count | None = None
    """Value of the axis the effect ends at; the last without it."""
    seed: Literal["min", "median"] | None = None
    """One seed of every point: the one whose training error is the least or the median; all seeds without it."""
    at_least: Annotated[float, Field(gt=0)] | None = None
    """The effect is there: as large as this, and larger than its spread over seeds."""
    at_most: Annotated[float, Field(gt=0)] | None = None
    """The effect is absent: at most this large, its spread over seeds included."""

    @model_validator(mode="after")
    def one_threshold(self):
        """A claim has one threshold."""
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("at_least: one of at_least and at_most is required")
        return self


class Config(Section):
    """The whole of config.yaml, for one tier."""

    tier: str
    """The tier to run."""
    tiers: dict[Name, str]
    """Tiers and what they are for. Wherever a value is a map of tier names, the tier's own is taken."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks train; auto takes a GPU if there is one."""
    ranks: Annotated[int, Field(gt=0, le=4096, strict=True)] = 2
    """MPI ranks of a solver job."""
    fno: bool = False
    """Whether the first curve of every figure of errors is compared with a Fourier neural operator of equal size,
    trained for as long as one of its networks; takes `make extras`, and about doubles the time of training."""
    data_sets: Annotated[dict[Name, AnyData], Field(min_length=1)]
    """Data sets by name: solved, or, with `path`, a file of your own."""
    networks: Annotated[dict[Name, Network], Field(min_length=1)]
    """Networks by name."""
    training: Annotated[dict[Name, Training], Field(min_length=1)]
    """Ways of training by name."""
    figures: Annotated[dict[Name, Figure], Field(min_length=1)]
    """Figures by name; `snakemake NAME` makes one alone."""
    claims: dict[Name, Claim] = {}
    """Statements to be checked, by name."""

    @model_validator(mode="after")
    def names_exist(self):
        """Figures refer to data sets, networks and trainings that exist."""
        for name, claim in self.claims.items():
            _known(f"claims.{name}.figure", claim.figure, self.figures)
        for name, figure in self.figures.items():
            _known(f"figures.{name}.data_set", figure.data_set, self.data_sets)
            for i, series in enumerate(figure.series):
                _known(f"figures.{name}.series.{i}.network", series.network, self.networks)
                _known(f"figures.{name}.series.{i}.training", series.training, self.training)
                if series.data_set:
                    _known(f"figures.{name}.series.{i}.data_set", series.data_set, self.data_sets)
        return self


def _known(path: str, value: str, allowed) -> None:
    if value not in allowed:
        raise ValueError(f"{path}: {value!r} given, {' or '.join(map(repr, allowed))} allowed")


def for_tier(node: Any, tier: str, tiers: set[str], path: tuple = ()) -> Any:
    """Replace every map of tier names by the value of one tier.

    Raises
    ------
    ConfigError
        If such a map does not hold the tier.
    """
    if isinstance(node, list):
        return [for_tier(child, tier, tiers, (*path, i)) for i, child in enumerate(node)]
    if not isinstance(node, dict):
        return node
    if node and set(node) <= tiers and path != ("tiers",):
        if tier not in node:
            raise ConfigError(f"{_dotted(path)}: no value for tier {tier!r}, only for {', '.join(map(repr, node))}")
        return for_tier(node[tier], tier, tiers, path)
    return {key: for_tier(child, tier, tiers, (*path, key)) for key, child in node.items()}


def load(config: dict, tier: str | None = None) -> Config:
    """Validate a configuration for one tier (by default the one it names).

    Raises
    ------
    ConfigError
        With one line that names the key path, the value and what is allowed.
    """
    tiers = config.get("tiers")
    if not isinstance(tiers, dict) or not tiers:
        raise ConfigError(f"tiers: {tiers!r} given, a map of tier names and descriptions expected")
    tier = tier or config.get("tier")
    if not isinstance(tier, str) or tier not in tiers:
        raise ConfigError(f"tier: {tier!r} given, {' or '.join(map(repr, tiers))} allowed")
    try:
        return Config.model_validate({**for_tier(config, tier, set(tiers)), "tier": tier, "tiers": tiers})
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def _dotted(path) -> str:
    return ".".join(str(part) for part in path if part != "[key]" and part not in TAGS)


def _one_line(error: ValidationError) -> str:
    # a misspelt key also makes the right one missing: the misspelling is what to tell
    first, *others = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    more = f" (and {len(others)} more)" if others else ""
    path, seen = _dotted(first["loc"]), first["input"]
    if first["type"] == "extra_forbidden":
        allowed = _keys_allowed(first["loc"])
        close = get_close_matches(str(first["loc"][-1]), allowed, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        if "[own]" in first["loc"] and first["loc"][-1] in DataSet.model_fields:
            hint = "; a data set with a path is a file, it is not solved"
        return f"{path}: unknown key, {', '.join(allowed)} allowed{hint}{more}"
    if first["type"] == "missing":
        return f"{path}: missing, this key is required{more}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{path}.{message}{more}" if path else f"{message}{more}"
    return f"{path}: {seen!r} given, {message[0].lower()}{message[1:]}{more}"


def _keys_allowed(path: tuple) -> list[str]:
    """Keys of the section that holds the last part of a path; names and list positions on the way are passed over."""
    section = Config
    for part in path[:-1]:
        if part in TAGS:
            section = TAGS[part]
        elif part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_in(annotation) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
