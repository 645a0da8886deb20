"""A problem of one's own, found by its name alone: the page on it, and what runs again when its code changes."""

from pathlib import Path

import pytest
import yaml
from pages import follow

from workflow import sources
from workflow.study import study

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/screened_poisson.py"


def test_the_example_is_short():
    assert len((ROOT / EXAMPLE).read_text().splitlines()) < 80


def test_its_code_is_in_the_fingerprint_of_the_jobs_that_need_it():
    found = sources.closure("examples.screened_poisson")
    assert {"examples.screened_poisson", "solvers.problem", "solvers.spectral"} <= found
    assert "solvers.nlse" not in found


def test_a_coefficient_that_it_does_not_have_is_one_line(tiny):
    tiny = yaml.safe_load(yaml.safe_dump(tiny))
    tiny["data_sets"]["nlse_1d"]["problem"] = {"name": "examples.screened_poisson", "shape": [80], "screning": 3.0}
    with pytest.raises(ValueError, match=r"^data_sets.nlse_1d.problem: .*'screning'") as error:
        study(tiny)
    assert "\n" not in str(error.value)


@pytest.mark.workflow
def test_the_page_holds_what_it_promises(clone):
    """Every block of the page, in order: module, trial, a shard by hand, its check, and what would run."""
    assert follow(ROOT / "docs/own_problem.md", clone.folder) == 4
    assert (clone.folder / EXAMPLE).read_text() == (ROOT / EXAMPLE).read_text()
