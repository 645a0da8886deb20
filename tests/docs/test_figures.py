"""Figures of the pages are drawn by the scripts beside them, and show what the text says of them."""

import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import figures_idea  # noqa: E402
import figures_networks  # noqa: E402

QUICK = {name: make for name, (make, _) in figures_networks.FIGURES.items() if name != "h2_error"}
"""All but one, which is 40 matrices and ten seconds; its numbers are those of tests/mnn/test_h2matrix.py."""


@pytest.mark.parametrize(("name", "make"), (figures_idea.FIGURES | QUICK).items())
def test_script_draws_the_texts_of_the_picture(name, make, tmp_path):
    with plt.rc_context(figures_networks.STYLE):
        make().savefig(tmp_path / "again.svg")
    drawn, committed = (
        set(re.findall(r">([^<>\n]*[A-Za-z]{4}[^<>\n]*)</text>", path.read_text()))
        for path in (tmp_path / "again.svg", DOCS / f"images/{name}.svg")
    )
    assert drawn
    assert drawn == committed


def test_near_blocks_need_nearly_all_numbers_and_far_ones_five():
    _, right = figures_idea.near_and_far().axes
    near, far = (line.get_ydata() for line in right.get_lines())
    assert len(near) == len(far) == 40
    assert near[-1] > 1e-6
    assert far[5] < 1e-9
    assert np.all(np.diff(far[:9]) < 0)
