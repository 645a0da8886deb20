"""Mistakes in config.yaml: one line with the key path, the value and what is allowed."""

import copy

import pytest

from workflow.config import ConfigError
from workflow.study import study


def set_at(path, value):
    def change(config):
        *parents, last = path.split("/")
        for part in parents:
            config = config[int(part) if isinstance(config, list) else part]
        config[last] = value

    return change


MISTAKES = {
    "unknown key": (set_at("tierr", 1), ["tierr", "unknown key", "did you mean 'tier'"]),
    "misspelt key": (set_at("networks/small/rnak", 2), ["networks.small.rnak", "unknown key", "'rank'"]),
    "misspelt series": (
        set_at("figures/fig_rank/series", [{"networks": "small"}]),
        ["figures.fig_rank.series.0.networks", "unknown key", "'network'"],
    ),
    "negative rank": (set_at("networks/small/rank", -2), ["networks.small.rank", "-2", "greater than 0"]),
    "wrong type": (set_at("networks/small/rank", "six"), ["networks.small.rank", "'six'", "integer"]),
    "negative swept": (set_at("figures/fig_rank/sweep/rank", [2, -1]), ["sweep.rank.1", "-1", "greater than 0"]),
    "unknown axis": (set_at("figures/fig_rank/sweep", {"ranks": [2]}), ["fig_rank.sweep", "'ranks'", "'rank'"]),
    "no axis": (set_at("figures/fig_rank/sweep", {}), ["figures.fig_rank.sweep", "0 axes", "takes 1"]),
    "two curves in a picture of one": (
        set_at("figures/fig_predictions/series", [{"network": "small"}, {"network": "small"}]),
        ["figures.fig_predictions.series", "2 curves", "takes 1"],
    ),
    "no curve at all": (
        set_at("figures/fig_rank/series", [{"network": "small", "values": []}]),
        ["figures.fig_rank.series", "no curve has values"],
    ),
    "a value that is not swept": (
        set_at("figures/fig_rank/series", [{"network": "small", "values": [2, 3]}]),
        ["figures.fig_rank.series.0.values", "3 given", "2 allowed"],
    ),
    "unknown kind": (set_at("figures/fig_rank/kind", "pie"), ["figures.fig_rank.kind", "'pie'", "'error'"]),
    "unknown network": (
        set_at("figures/fig_rank/series", [{"network": "huge"}]),
        ["figures.fig_rank.series.0.network", "'huge'", "'small'"],
    ),
    "unknown data set": (set_at("figures/fig_rank/data_set", "x"), ["figures.fig_rank.data_set", "'x'", "'nlse_1d'"]),
    "unknown tier": (set_at("tier", "huge"), ["tier", "'huge'", "'quick'"]),
    "tier left out": (
        set_at("figures/fig_rank/n_train", {"quick": 32}),
        ["figures.fig_rank.n_train", "'paper'", "'quick'"],
    ),
    "indivisible grid": (set_at("networks/small/levels", 5), ["networks.small", "shape", "80", "32"]),
    "n_train beyond the data": (
        set_at("figures/fig_samples/sweep/n_train", [32, 500]),
        ["figures.fig_samples.sweep.n_train", "500", "64", "data_sets.nlse_1d.samples.train"],
    ),
    "n_test beyond the data": (set_at("figures/fig_rank/n_test", 33), ["figures.fig_rank.n_test", "33", "32"]),
    "unknown problem": (
        set_at("data_sets/nlse_1d/problem", {"name": "heat", "shape": [80]}),
        ["data_sets.nlse_1d.problem", "'heat'", "'nlse'"],
    ),
    "unknown coefficient": (
        set_at("data_sets/nlse_1d/problem/bta", 1.0),
        ["data_sets.nlse_1d.problem", "bta"],
    ),
    "bad range": (
        set_at("data_sets/nlse_1d/field/strength", [4, 1]),
        ["data_sets.nlse_1d.field.strength", "[4, 1]"],
    ),
    "batch beyond the samples": (
        set_at("training/default/batch_size", 40),
        ["training.default.batch_size", "40", "32"],
    ),
    "misspelt override": (
        set_at("training/default/overrides", {"linea": True}),
        ["training.default.overrides", "'linea'", "linear"],
    ),
    "override out of range": (
        set_at("training/default/overrides", {"linear": "maybe"}),
        ["training.default.overrides.linear", "'maybe'", "true or false"],
    ),
    "path for a name": (set_at("figures/..%2f", {}), ["figures.", "pattern"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_mend(tiny, mistake):
    change, words = MISTAKES[mistake]
    config = copy.deepcopy(tiny)
    change(config)
    with pytest.raises(ConfigError) as error:
        study(config)
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


def test_the_other_tier_is_validated_too(tiny):
    config = copy.deepcopy(tiny)
    config["figures"]["fig_rank"]["n_train"] = {"quick": 32, "paper": 4000}
    with pytest.raises(ConfigError, match="4000"):
        study(config)


@pytest.mark.workflow
def test_snakemake_itself_refuses_before_any_job(clone):
    clone.configure(set_at("networks/small/rank", -2))
    done = clone.snakemake()
    assert done.returncode == 1
    told = [
        line for line in done.stderr.splitlines() if line and not line.startswith("Using workflow specific profile")
    ]
    assert told == ["config: networks.small.rank: -2 given, input should be greater than 0"]
    assert not list((clone.folder / "results").glob("*/"))
