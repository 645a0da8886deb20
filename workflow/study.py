"""From a validated configuration to the work it asks for: data-set variants, experiments, points of figures.

An experiment is one network trained on one data set by one recipe; a figure is a list of points, each of them an
experiment. Figures that ask for the same experiment share it.
"""

import json
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.util import find_spec
from math import ceil

from mnn.spec import NetworkSpec
from solvers import problem
from solvers.dataset import DatasetError, Shard, inspect
from solvers.wells import Wells
from workflow.config import DATA_AXES, Config, ConfigError, Figure, OwnDataSet, Series, load

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Data:
    """A data set; ``name`` is its folder."""

    name: str
    title: str
    shape: tuple[int, ...]
    precision: str
    samples: dict
    shard: int

    def first(self, split: str) -> int:
        """Index of the first sample of a split."""
        return 0

    def last(self, split: str, count: int) -> int:
        """Index after the last sample of the shards that hold the first ``count`` samples of a split."""
        return ceil(count / self.shard) * self.shard

    def shards(self, split: str, count: int) -> list[str]:
        """Names (without suffix) of the shards that hold the first ``count`` samples of a split."""
        first, last = self.first(split), self.last(split, count)
        return [f"{start:06d}-{min(start + self.shard, last):06d}" for start in range(first, last, self.shard)]


@dataclass(frozen=True)
class SolvedData(Data):
    """A data set that a solver makes, possibly varied by a swept axis; every split begins at sample 0 of its own."""

    problem: dict
    field: dict
    seed: int


@dataclass(frozen=True)
class OwnData(Data):
    """A data set in a user's file; samples are counted through the file, so that splits follow one another."""

    path: str
    variables: tuple[str, ...]
    periodic: bool

    @property
    def options(self) -> list[str]:
        """Options of `solvers.adopt` that are the same for all shards."""
        names = ["--variables", *self.variables] if self.variables else []
        return [*names, "--periodic" if self.periodic else "--no-periodic", "--precision", self.precision]

    def first(self, split: str) -> int:
        """Index of the first sample of a split."""
        return sum(self.samples[earlier] for earlier in SPLITS[: SPLITS.index(split)])

    def last(self, split: str, count: int) -> int:
        """Index after the last sample of the shards: they end where the next split begins."""
        return self.first(split) + min(super().last(split, count), self.samples[split])


@dataclass(frozen=True)
class Experiment:
    """One network, all its seeds, trained on the first ``n_train`` samples of a data set."""

    data: str
    name: str
    network: dict
    training: dict
    n_train: int
    members: int


@dataclass(frozen=True)
class Point:
    """A point of a figure: a curve's label, the swept axis' value and the experiment that measures it."""

    label: str
    value: int
    data: str
    experiment: str
    n_train: int
    n_test: int


@dataclass
class Study:
    """Everything a configuration asks for."""

    config: Config
    data: dict[str, Data] = field(default_factory=dict)
    experiments: dict[tuple[str, str], Experiment] = field(default_factory=dict)
    points: dict[str, list[Point]] = field(default_factory=dict)
    backgrounds: dict[str, str] = field(default_factory=dict)
    """Data set -> the data set of one sample that holds its u_0, where errors relative to u - u_0 are asked for."""

    def __post_init__(self):
        for name in self.config.data_sets:
            self._add_data(name, {}, f"data_sets.{name}")
        for name, figure in self.config.figures.items():
            self.points[name] = [
                self._point(f"figures.{name}", figure, series, axis, value)
                for series in figure.series
                for axis, values in (figure.sweep or {None: [0]}).items()
                for value in (values if series.values is None else series.values)
            ]

    @cached_property
    def tests(self) -> dict[tuple[str, str], int]:
        """Test samples each experiment is evaluated on: the most any figure asks for."""
        counts: dict[tuple[str, str], int] = {}
        for point in (p for points in self.points.values() for p in points):
            key = (point.data, point.experiment)
            counts[key] = max(counts.get(key, 0), point.n_test)
        return counts

    def _add_data(self, name: str, overrides: dict[str, int], path: str) -> Data:
        base = self.config.data_sets[name]
        if isinstance(base, OwnDataSet):
            if overrides:
                raise ConfigError(f"{path}: {name!r} is a file (data_sets.{name}.path), its fields cannot be swept")
            return self.data.setdefault(name, _own(name, base))
        spec, wells = dict(base.problem), dict(base.field)
        if "wells" in overrides:
            wells["wells"] = overrides["wells"]
        if "electrons" in overrides:
            spec["n_electrons"] = wells["wells"] = overrides["electrons"]
        changed = (spec, wells) != (base.problem, base.field)
        variant = name + "".join(f"-{axis}{value}" for axis, value in overrides.items()) if changed else name
        if variant not in self.data:
            made = _built(f"{path}.problem", _problem, {"spec": json.dumps(spec)})
            _built(f"{path}.field", Wells, wells)
            grid, samples = tuple(made["shape"]), base.samples.model_dump()
            self.data[variant] = SolvedData(
                variant, base.title, grid, base.precision, samples, base.shard, made, wells, base.seed
            )
        return self.data[variant]

    def _add_background(self, data: SolvedData) -> None:
        """Add the data set of one sample, the solution for an input of zeros."""
        zero = data.field | {"strength": (0, 0), "minimum": None}
        name = f"{data.name}-zero"
        self.backgrounds[data.name] = name
        self.data[name] = replace(data, name=name, field=zero, samples={"test": 1}, shard=1)

    def _point(self, path: str, figure: Figure, series: Series, axis: str | None, value: int) -> Point:
        swept = {axis: value} if axis else {}
        varied = {key: swept[key] for key in DATA_AXES if key in swept}
        data = self._add_data(series.data_set or figure.data_set, varied, f"{path}.sweep.{axis}")
        n_train = swept.get("n_train") or figure.n_train or data.samples["train"]
        n_test = figure.n_test or data.samples["test"]
        _within(f"{path}.sweep.n_train" if axis == "n_train" else f"{path}.n_train", n_train, data, "train")
        _within(f"{path}.n_test", n_test, data, "test")
        for key, chosen in (("relative_to", figure.relative_to), ("kind", figure.kind)):
            if chosen in ("signal", "speed") and not isinstance(data, SolvedData):
                raise ConfigError(f"{path}.{key}: {chosen!r} given, {data.name} is a file, no solver made it")
        if figure.relative_to == "signal":
            self._add_background(data)
        if figure.kind == "predictions" and len(data.shape) > 2:
            raise ConfigError(f"{path}.kind: 'predictions' given, they are drawn in 1D or 2D and {data.name} is in 3D")
        experiment = self._add_experiment(path, figure, series, data, swept, n_train)
        label = series.label or self.config.networks[series.network].label
        return Point(label, value, data.name, experiment.name, n_train, n_test)

    def _add_experiment(self, path, figure, series, data, swept, n_train) -> Experiment:
        held = {key: getattr(series, key) for key in ("rank", "depth") if getattr(series, key)}
        spec = self.config.networks[series.network].model_dump(exclude={"label"}) | {"shape": list(data.shape)}
        spec |= held | {key: swept[key] for key in ("rank", "depth") if key in swept}
        _built(f"networks.{series.network}", NetworkSpec, spec)
        training = self.config.training[series.training].model_dump()
        if training["batch_size"] and training["batch_size"] > n_train:
            raise ConfigError(
                f"training.{series.training}.batch_size: {training['batch_size']} given, "
                f"at most {n_train} allowed, the training samples of {path}"
            )
        name = f"{series.network}_r{spec['rank']}_K{spec['depth']}_n{n_train}_{series.training}"
        known = self.experiments.get((data.name, name))
        members = max(figure.seeds, known.members if known else 0)
        self.experiments[(data.name, name)] = Experiment(data.name, name, spec, training, n_train, members)
        return self.experiments[(data.name, name)]


def study(config: dict) -> Study:
    """Validate every tier of a configuration and expand the chosen one.

    Raises
    ------
    ConfigError
        With one line that names the key path, the value and what is allowed.
    """
    chosen = Study(load(config))
    if chosen.config.fno and not find_spec("neuralop"):
        raise ConfigError("fno: True given, the package neuraloperator is not installed; `make extras` installs it")
    for tier in config["tiers"]:
        if tier != chosen.config.tier:
            try:
                Study(load(config, tier))
            except ConfigError as error:
                raise ConfigError(f"{error} (tier {tier!r})") from None
    return chosen


def _own(name: str, data: OwnDataSet) -> OwnData:
    """Look into a user's file, so that what it cannot give is refused before any job starts."""
    path = f"data_sets.{name}"
    try:
        shard = _inspect(data.path, data.input, data.output)
    except DatasetError as error:
        more = f" (python -m solvers.check {data.path} tells how to mend it)" if error.remedy else ""
        raise ConfigError(f"{path}.path: {error}{more}") from None
    samples = data.samples.model_dump()
    if (wanted := sum(samples.values())) > shard.count:
        counts = " + ".join(f"{split} {count}" for split, count in samples.items())
        raise ConfigError(f"{path}.samples: {counts} = {wanted} given, {data.path} holds {shard.count}")
    periodic = shard.attrs.get("periodic") if data.periodic is None else data.periodic
    if periodic is None:
        raise ConfigError(f"{path}.periodic: missing, {data.path} does not say whether its grid is periodic")
    names = () if data.input is None else (data.input, data.output)
    return OwnData(name, data.title, shard.shape, data.precision, samples, data.shard, data.path, names, bool(periodic))


@cache
def _inspect(path: str, *variables: str | None) -> Shard:
    return inspect(path, *variables)


@cache
def _problem(spec: str) -> dict:
    """Full specification of a problem, defaults filled in; kept, since tiers and variants share problems."""
    return problem(**json.loads(spec)).spec


def _within(path: str, count: int, data: Data, split: str) -> None:
    if count > data.samples[split]:
        raise ConfigError(
            f"{path}: {count} given, at most {data.samples[split]} allowed "
            f"(data_sets.{data.name.split('-')[0]}.samples.{split})"
        )


def _built(path: str, make, arguments: dict):
    """Make the real object, so that what it refuses is refused before any job starts."""
    try:
        return make(**arguments)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}.{error}" if isinstance(error, ValueError) else f"{path}: {error}") from None
