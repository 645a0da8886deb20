"""Only what changed runs again: dry runs after one change each, on a copy of a finished study."""

import pytest

pytestmark = pytest.mark.workflow


@pytest.fixture
def done(finished, tmp_path):
    return finished.copy(tmp_path / "copy")


def edit(clone, file, old, new):
    path = clone.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_second_run_does_nothing(done):
    assert done.planned() == {}


def test_touching_a_file_does_nothing(done):
    for pattern in ("results/quick/data/**/*.nc", "solvers/*.py", "mnn/*.py", "workflow/*.py", "config.yaml"):
        for path in done.folder.glob(pattern):
            path.touch()
    assert done.planned() == {}


def test_comments_and_docstrings_do_nothing(done):
    for file in ("solvers/nlse.py", "mnn/training.py", "workflow/plot.py"):
        path = done.folder / file
        path.write_text(path.read_text() + "\n# a remark\n")
    assert done.planned() == {}


def test_the_order_of_keys_means_nothing(done):
    def reverse(node):
        if isinstance(node, dict):
            return {key: reverse(node[key]) for key in reversed(node)}
        return node

    def change(config):
        for section in ("data_sets", "networks", "training", "figures"):
            config[section] = reverse(config[section])

    done.configure(change)
    assert done.planned() == {}


def test_plot_code_reruns_plots_alone(done):
    edit(done, "workflow/plot_errors.py", "relative error", "error")
    assert done.planned() == {"plot": 5}


def test_an_added_rank_trains_one_network(done):
    done.configure(lambda config: config["figures"]["fig_rank"]["sweep"].update(rank=[2, 3]))
    assert done.planned() == {"train": 1, "evaluate": 1, "tabulate": 1, "plot": 1, "summary": 1}


def test_more_samples_solve_only_new_shards(done):
    def change(config):
        config["data_sets"]["nlse_1d"]["samples"]["train"] = 128
        config["figures"]["fig_samples"]["sweep"]["n_train"] = [32, 64, 128]

    done.configure(change)
    planned = done.planned()
    assert planned["generate"] == planned["check"] == 2
    assert planned["train"] == planned["evaluate"] == planned["baselines"] == 1


def test_more_epochs_train_again_and_solve_nothing(done):
    done.configure(lambda config: config["training"]["default"].update(epochs=5))
    planned = done.planned()
    assert planned["train"] == 2
    assert "generate" not in planned


def test_another_solver_solves_and_trains_again(done):
    edit(done, "solvers/nlse.py", "beta: float = 10.0", "beta: float = 11.0")
    planned = done.planned()
    assert planned["generate"] == 5
    assert planned["train"] == 2


def test_another_problem_s_solver_does_nothing(done):
    (done.folder / "solvers/kohn_sham.py").write_text("x = 1\n")
    assert done.planned() == {}


def test_the_network_s_code_trains_again_and_solves_nothing(done):
    edit(done, "mnn/boxes.py", "ADJACENT_BAND = 1", "ADJACENT_BAND = 2")
    planned = done.planned()
    assert planned["train"] == 2
    assert "generate" not in planned


def test_a_caption_makes_its_figure_again_alone(done):
    done.configure(lambda config: config["figures"]["fig_rank"].update(caption="Another."))
    assert set(done.planned()) <= {"plot", "tabulate", "summary", "claims"}


def test_the_other_tier_has_results_of_its_own(done):
    planned = done.planned("--config", "tier=paper")
    assert planned["generate"] == 5
    assert planned["train"] == 2
