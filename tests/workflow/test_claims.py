"""Claims judged on tables whose answer is known."""

from math import exp, log, sqrt
from statistics import stdev

import pandas as pd
import pytest

from workflow.claims import judge

COLUMNS = ["curve", "kind", "axis", "value", "seed", "parameters", "train_mean", "train_std", "test_mean", "test_std"]
COLUMNS += ["beside"]
WOBBLES = (0.9, 1.0, 1.1)
SPREAD = exp(sqrt(2) * stdev(map(log, WOBBLES)))
"""Factor by which the ratio of two errors of three seeds spreads."""


@pytest.fixture
def table(tmp_path):
    """Curve A falls 8e-3, 2e-3, 1e-3 over the axis, seeds 10% apart; B lies three times higher; test = 1.2 train.

    The linear map's error is 2e-2.
    """
    rows = [
        (curve, "network", "rank", value, seed, 10 * value * size, e / 1.2, e / 12, e, e / 10, None)
        for curve, size in (("A", 1), ("B", 2))
        for value, error in ((2, 8e-3), (4, 2e-3), (6, 1e-3))
        for seed, wobble in enumerate(WOBBLES)
        for e in [error * wobble * (3 if curve == "B" else 1)]
    ]
    lines = [("best linear map", "baseline", "rank", v, None, None, *[2e-2] * 4, c) for c in "AB" for v in (2, 4, 6)]
    file = tmp_path / "fig.csv"
    pd.DataFrame(rows + lines, columns=COLUMNS).to_csv(file, index=False)
    return str(file)


def claim(effect, **options):
    empty = dict.fromkeys(["curve", "other", "start", "stop", "seed", "at_least", "at_most"])
    return {**empty, "statement": "", "column": "test_mean", "effect": effect, **options}


CASES = [
    (claim("falls", curve="A", at_least=7.9), "holds"),
    (claim("falls", curve="A", at_least=8.1), "does not hold"),
    (claim("falls", curve="A", start=4, stop=6, at_least=1.9), "holds"),
    (claim("falls", curve="A", start=6, stop=4, at_least=0.1), "does not hold"),
    (claim("levels_off", at_least=1.9), "holds"),
    (claim("levels_off", at_least=2.1), "does not hold"),
    (claim("varies", at_most=8 * SPREAD * 1.01), "holds"),
    (claim("varies", at_most=8 * SPREAD / 1.01), "does not hold"),
    (claim("varies", column="train_mean", at_most=8 * SPREAD * 1.01), "holds"),
    (claim("overfits", at_most=1.2 * SPREAD * 1.01), "holds"),
    (claim("overfits", at_most=1.2 * SPREAD / 1.01), "does not hold"),
    (claim("overfits", column="test_std", start=4, at_least=1.19), "holds"),
    (claim("beats", curve="A", at_least=19), "holds"),
    (claim("beats", curve="A", at_least=21), "does not hold"),
    (claim("beats", curve="B", stop=2, at_least=1), "does not hold"),
    (claim("exceeds", curve="B", other="A", seed="min", at_most=3.01), "holds"),
    (claim("exceeds", curve="B", other="A", seed="median", at_most=2.99), "does not hold"),
    (claim("exceeds", curve="B", other="A", at_least=2.9), "holds"),
    (claim("exceeds", curve="A", other="B", at_least=1.0), "does not hold"),
    (claim("exceeds", curve="B", other="A", column="parameters", at_least=2.0), "holds"),
    (claim("falls", curve="A", start=2, stop=8, at_least=1.0), "not measured"),
    (claim("exceeds", curve="A", other="C", at_least=1.0), "not measured"),
]


@pytest.mark.parametrize(("check", "verdict"), CASES)
def test_a_claim_is_judged(table, check, verdict):
    assert judge("name", check, table)["verdict"] == verdict


def test_an_effect_within_the_spread_over_seeds_does_not_hold(tmp_path):
    rows = [
        ("A", "network", "rank", value, seed, 10, error, error, error, error, None)
        for value, errors in ((2, (1e-3, 4e-3, 2e-3)), (4, (0.5e-3, 3e-3, 1.5e-3)))
        for seed, error in enumerate(errors)
    ]
    file = tmp_path / "fig.csv"
    pd.DataFrame(rows, columns=COLUMNS).to_csv(file, index=False)
    row = judge("name", claim("falls", at_least=1.01), str(file))
    assert float(row["measured"]) > 1.4
    assert row["verdict"] == "does not hold"
