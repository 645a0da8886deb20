"""What a configuration asks for: shards, experiments and the points of figures."""

import copy

from workflow.study import study


def test_figures_share_an_experiment(tiny):
    made = study(tiny)
    assert set(made.experiments) == {
        ("nlse_1d", "small_r2_K2_n32_default"),
        ("nlse_1d", "small_r2_K2_n64_default"),
    }
    assert [(p.value, p.n_train) for p in made.points["fig_samples"]] == [(32, 32), (64, 64)]


def test_an_experiment_trains_the_most_seeds_any_figure_asks_for(tiny):
    config = copy.deepcopy(tiny)
    config["figures"]["fig_rank"]["seeds"] = 5
    assert study(config).experiments[("nlse_1d", "small_r2_K2_n32_default")].members == 5


def test_a_swept_field_is_a_data_set_of_its_own(tiny):
    config = copy.deepcopy(tiny)
    config["figures"]["fig_rank"]["sweep"] = {"wells": [2, 4]}
    made = study(config)
    assert set(made.data) == {"nlse_1d", "nlse_1d-wells4", "nlse_1d-zero"}
    assert made.data["nlse_1d-wells4"].field["wells"] == 4
    assert made.data["nlse_1d-wells4"].problem == made.data["nlse_1d"].problem


def test_shards_are_whole_and_enough(tiny):
    data = study(tiny).data["nlse_1d"]
    assert data.shards("train", 33) == ["000000-000032", "000032-000064"]
    assert data.shards("test", 32) == ["000000-000032"]


def test_the_other_tier_has_its_own_sizes(tiny):
    assert study({**tiny, "tier": "paper"}).data["nlse_1d"].samples["train"] == 128


def test_the_background_is_the_solution_for_an_input_of_zeros(tiny):
    made = study(tiny)
    zero = made.data[made.backgrounds["nlse_1d"]]
    assert (zero.problem, zero.samples, zero.shards("test", 1)) == (
        made.data["nlse_1d"].problem,
        {"test": 1},
        ["000000-000001"],
    )
    assert zero.field["strength"] == (0, 0)


def test_a_curve_may_have_fewer_values_than_its_figure(tiny):
    config = copy.deepcopy(tiny)
    config["figures"]["fig_samples"]["series"] = [{"network": "small"}, {"network": "small", "values": [64]}]
    assert [p.value for p in study(config).points["fig_samples"]] == [32, 64, 64]
