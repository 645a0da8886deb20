"""Tables and drawings on small tables whose content is known."""

import json
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workflow import plot_errors, summary, tabulate


@pytest.fixture
def rows(tmp_path):
    """Two curves on two data sets, two values each: errors 0.1 (1st), 0.2 (2nd); linear maps 0.5, 0.7."""
    made = []
    for label, error, linear in (("A", 0.1, 0.5), ("B", 0.2, 0.7)):
        statistics = {"train_mean": linear, "train_std": 0.0, "test_mean": linear, "test_std": 0.0}
        baselines = tmp_path / f"{label}.json"
        baselines.write_text(json.dumps({"baselines": {"mean": statistics, "linear": statistics}}))
        for value in (2, 4):
            errors = tmp_path / f"{label}{value}.nc"
            values = np.full((3, 5), error / value)
            xr.Dataset(
                {
                    "train_error": (("member", "train_sample"), values),
                    "test_error": (("member", "test_sample"), values),
                },
                {"member": [0, 1, 2]},
                {"parameters": 10 * value, "training_seconds": 7.0},
            ).to_netcdf(errors)
            files = {"errors": str(errors), "baselines": str(baselines)}
            row = {"label": label, "value": value, "seeds": 2, "n_train": 8, "n_test": 5, "files": files}
            made.append(row | {"relative_to": "solution"})
    return made


def test_a_table_has_a_row_a_seed_and_reference_lines_of_each_data_set(rows):
    table = tabulate.table(rows, "rank")
    networks = table[table["kind"] == "network"].set_index(["curve", "value", "seed"])
    assert len(networks) == 2 * 2 * 2
    assert networks.loc[("B", 4, 1), "test_mean"] == pytest.approx(0.05)
    assert networks.loc[("B", 4, 1), "parameters"] == 40
    linear = table[table["curve"] == "best linear map"].groupby("beside")["test_mean"].first()
    assert linear.to_dict() == {"A": 0.5, "B": 0.7}
    assert "seconds" not in table


def test_an_operator_to_compare_with_is_one_more_reference_line(rows, tmp_path):
    statistics = {"train_mean": 0.3, "train_std": 0.0, "test_mean": 0.4, "test_std": 0.0, "parameters": 12}
    file = tmp_path / "fno.json"
    file.write_text(json.dumps({"baselines": {"fno": statistics}}))
    rows[0]["files"]["fno"] = str(file)
    table = tabulate.table(rows, "rank").set_index("curve")
    line = table.loc["Fourier neural operator"]
    assert (line["beside"], line["value"], line["test_mean"], line["parameters"]) == ("A", 2, 0.4, 12)


def test_training_times_are_there_if_wanted(rows):
    table = tabulate.table(rows, "rank", timed=True)
    assert set(table.loc[table["kind"] == "network", "seconds"]) == {7.0}


def test_the_summary_puts_each_curve_beside_its_own_reference(rows, tmp_path):
    file = tmp_path / "fig.csv"
    tabulate.table(rows, "rank").to_csv(file, index=False)
    points = pd.DataFrame(summary.best_points(str(file), "Slab"))
    first, second = summary.markdown(points, "quick").splitlines()[-2:]
    assert first.startswith("| Slab | fig | A | rank = 4 | solution | 40 | 2.5e-02 |")
    assert first.endswith("| 5.0e-01 | 5.0e-01 |")
    assert second.endswith("| 7.0e-01 | 7.0e-01 |")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["error", "error_and_spread", "min_and_median", "parameters", "cost"])
def test_a_drawing_holds_the_table(rows, tmp_path, kind):
    file = tmp_path / "fig.csv"
    curves = rows[:2] if kind == "error_and_spread" else rows
    tabulate.table(curves, "rank", timed=True).to_csv(file, index=False)
    figure = getattr(plot_errors, kind)([str(file)], "rank")
    drawn = {float(y) for axes in figure.axes for line in axes.lines for y in np.atleast_1d(line.get_ydata())}
    expected = {20.0, 40.0} if kind == "parameters" else {0.05, 0.025}
    assert all(any(np.isclose(y, value) for y in drawn) for value in expected)
    plt.close(figure)


def test_the_screen_shows_the_best_of_every_problem_claims_and_time(rows, tmp_path):
    (tmp_path / "tables").mkdir()
    tabulate.table(rows, "rank").to_csv(tmp_path / "tables/fig.csv", index=False)
    arguments = ["--tier", "quick", "--problems", '{"fig": "Slab"}']
    for option, name in (("output", "summary.md"), ("csv", "summary.csv"), ("html", "summary.html")):
        arguments += [f"--{option}", str(tmp_path / name)]
    assert "figures" in summary.screen(tmp_path, 5.0)  # where there is no summary, where to look all the same
    summary.main([str(tmp_path / "tables/fig.csv"), *arguments])
    pd.DataFrame({"verdict": ["holds", "holds", "not measured"]}).to_csv(tmp_path / "claims.csv")
    (tmp_path / "benchmarks/train/slab").mkdir(parents=True)
    (tmp_path / "benchmarks/train/slab/a.tsv").write_text("s\tcpu_time\n120.0\t1.0\n")
    head, rule, best, *rest = summary.screen(tmp_path, 90.0).splitlines()
    assert head.split() == ["problem", "network", "parameters", "test", "error", "linear", "map", "mean"]
    assert len(head) == len(rule) == len(best)
    assert best.split() == ["Slab", "A,", "rank", "=", "4", "40", "2.5e-02", "5.0e-01", "5.0e-01"]
    assert "claims   2 hold, 0 do not hold, 1 not measured" in rest
    assert "time     90 s for this run; all jobs: solving 0 s, training 2 min, measuring 0 s, drawing 0 s" in rest
    (tmp_path / "tables/speed.csv").write_text("")  # no errors in it: no part of the summary
    os.utime(tmp_path / "tables/speed.csv", (2**32, 2**32))
    assert "Slab" in summary.screen(tmp_path, 90.0)
    os.utime(tmp_path / "summary.csv", (0, 0))  # tables made since: the summary is that of another run
    assert "Slab" not in summary.screen(tmp_path, 90.0)


def test_the_summary_names_the_figures_of_a_point_together_and_prefers_the_data_set_itself(rows, tmp_path):
    for name in ("one", "two"):
        tabulate.table(rows, "rank").to_csv(tmp_path / f"{name}.csv", index=False)
    points = [point for name in ("one", "two") for point in summary.best_points(str(tmp_path / f"{name}.csv"), "Slab")]
    joined = summary.without_repeats(pd.DataFrame(points))
    assert list(joined["figure"]) == ["one, two"] * 2
    easier = joined.iloc[[0]].assign(at="wells = 8", **{"test error": 1e-9})
    assert "wells = 8" not in list(summary.best_of_problems(pd.concat([joined, easier], ignore_index=True))["at"])
    assert list(summary.best_of_problems(easier)["at"]) == ["wells = 8"]


def test_curves_of_one_data_set_share_reference_lines(rows, tmp_path):
    file = tmp_path / "fig.csv"
    table = tabulate.table(rows, "rank")
    table.to_csv(file, index=False)
    labels = [line.get_label() for line in plot_errors.error([str(file)], "rank").axes[0].lines]
    assert {"best linear map, A", "best linear map, B"} <= set(labels)
    same = table.assign(test_mean=table["test_mean"].where(table["kind"] == "network", 0.5))
    same.to_csv(file, index=False)
    labels = [line.get_label() for line in plot_errors.error([str(file)], "rank").axes[0].lines]
    assert labels.count("best linear map") == 1
    assert "best linear map, A" not in labels
    plt.close("all")
