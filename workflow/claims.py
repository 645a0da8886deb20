"""The paper's statements as checks on the measured tables.

Every check is one positive number, the effect, compared with a threshold: a ratio of errors or of parameter counts.
Errors are averaged geometrically over seeds; the effect's spread is that of the logarithms. An effect that is claimed
to be there (``at_least``) has to exceed both the threshold and its own spread over seeds; one that is claimed to be
absent (``at_most``) has to stay below the threshold by its spread.
"""

import json
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path

import pandas as pd

from mnn import command
from workflow.card import page
from workflow.tabulate import BASELINES

LINEAR = BASELINES["linear"]
HEADER = ["claim", "statement", "figure", "effect", "measured", "spread", "threshold", "verdict"]

CAPTION = (
    "Statements of section 4 as checks on the measured tables. A spread is a factor over seeds; an effect that is "
    "claimed to be there has to exceed its own."
)


class NotMeasuredError(LookupError):
    """The table does not hold what a claim needs, in this tier."""


@dataclass(frozen=True)
class Effect:
    """A ratio and the standard deviation of its logarithm over seeds."""

    ratio: float
    spread: float

    @classmethod
    def between(cls, above: pd.Series, below: pd.Series) -> "Effect":
        """Ratio of two quantities, each measured by several seeds."""
        logs = [values.map(log) for values in (above, below)]
        variance = sum(0.0 if len(values) < 2 else values.var(ddof=1) for values in logs)
        return cls(exp(logs[0].mean() - logs[1].mean()), sqrt(variance))

    def holds(self, at_least: float | None, at_most: float | None) -> bool:
        """Whether the effect is on the right side of its threshold, and larger than its spread where it must be."""
        if at_least is not None:
            return self.ratio >= at_least and log(self.ratio) > self.spread
        return log(self.ratio) + self.spread <= log(at_most)


class Table:
    """The table of a figure, asked for one curve at one value of the axis.

    With ``seed``, "min" or "median", it holds one seed of every point: the one with that training error.
    """

    def __init__(self, file: str, seed: str | None = None):
        table = pd.read_csv(file)
        self.names = list(table.loc[table["kind"] == "network", "curve"].unique())
        networks = table[table["kind"] == "network"].sort_values("train_mean", kind="stable")
        points = networks.groupby(["curve", "value"])
        chosen = {"min": 0, "median": (points["seed"].transform("size") - 1) // 2}
        self.networks = networks[points.cumcount() == chosen[seed]] if seed else networks
        self.linear = table[(table["kind"] == "baseline") & (table["curve"] == LINEAR)]

    def curves(self, wanted: str | None) -> list[str]:
        """The curve that is wanted, or all of them."""
        if wanted is not None and wanted not in self.names:
            raise NotMeasuredError(f"no curve {wanted!r}")
        return [wanted] if wanted else self.names

    def values(self, curve: str) -> list[int]:
        """Values of the axis at which a curve was measured."""
        return sorted(self.networks.loc[self.networks["curve"] == curve, "value"].unique())

    def at(self, curve: str, value: int, column: str) -> pd.Series:
        """One number a seed."""
        rows = self.networks[(self.networks["curve"] == curve) & (self.networks["value"] == value)]
        if rows.empty:
            raise NotMeasuredError(f"{curve} was not measured at {value}")
        return rows[column]

    def linear_map(self, curve: str, value: int, column: str) -> pd.Series:
        """The error of the best linear map beside a curve."""
        rows = self.linear[(self.linear["beside"] == curve) & (self.linear["value"] == value)]
        if rows.empty:
            raise NotMeasuredError(f"no linear map beside {curve} at {value}")
        return rows[column]


def falls(table: Table, curve: str | None, column: str, start: int | None, stop: int | None, **_) -> list[Effect]:
    """How many times less a quantity is at one value of the axis than at another; by default, last against first."""
    effects = []
    for name in table.curves(curve):
        values = table.values(name)
        first, last = values[0] if start is None else start, values[-1] if stop is None else stop
        if first == last:
            raise NotMeasuredError("one value of the axis alone")
        effects.append(Effect.between(table.at(name, first, column), table.at(name, last, column)))
    return effects


def levels_off(table: Table, curve: str | None, column: str, **_) -> list[Effect]:
    """How many times the gain of the first step along the axis exceeds the gain of the last."""
    effects = []
    for name in table.curves(curve):
        values = table.values(name)
        if len(values) < 3:
            raise NotMeasuredError("fewer than three values of the axis")
        first, last = (
            Effect.between(table.at(name, a, column), table.at(name, b, column)) for a, b in (values[:2], values[-2:])
        )
        effects.append(Effect(first.ratio / last.ratio, sqrt(first.spread**2 + last.spread**2)))
    return effects


def varies(table: Table, curve: str | None, column: str, **_) -> list[Effect]:
    """How many times the largest error along the axis exceeds the least."""
    effects = []
    for name in table.curves(curve):
        points = sorted((table.at(name, v, column) for v in table.values(name)), key=lambda rows: rows.map(log).mean())
        if len(points) < 2:
            raise NotMeasuredError("one value of the axis alone")
        effects.append(Effect.between(points[-1], points[0]))
    return effects


def overfits(table: Table, curve: str | None, column: str, start: int | None, **_) -> list[Effect]:
    """How many times the test error exceeds the training error, at ``start`` or at the worst value of the axis."""
    trained = column.replace("test", "train")
    return [
        max(
            (
                Effect.between(table.at(name, value, column), table.at(name, value, trained))
                for value in (table.values(name) if start is None else [start])
            ),
            key=lambda effect: effect.ratio,
        )
        for name in table.curves(curve)
    ]


def beats(table: Table, curve: str | None, column: str, stop: int | None, **_) -> list[Effect]:
    """How many times the best linear map's error exceeds a curve's, at ``stop`` or at the last value of the axis."""
    effects = []
    for name in table.curves(curve):
        value = table.values(name)[-1] if stop is None else stop
        effects.append(Effect.between(table.linear_map(name, value, column), table.at(name, value, column)))
    return effects


def exceeds(table: Table, curve: str | None, column: str, other: str | None, **_) -> list[Effect]:
    """How many times one curve lies above another, on the average over the axis."""
    (name,), (against,) = table.curves(curve), table.curves(other)
    shared = sorted(set(table.values(name)) & set(table.values(against)))
    if not shared:
        raise NotMeasuredError("the curves share no value of the axis")
    parts = [Effect.between(table.at(name, v, column), table.at(against, v, column)) for v in shared]
    mean = sum(log(part.ratio) for part in parts) / len(parts)
    return [Effect(exp(mean), sqrt(sum(part.spread**2 for part in parts)) / len(parts))]


EFFECTS = {effect.__name__: effect for effect in (falls, levels_off, varies, overfits, beats, exceeds)}


def judge(name: str, claim: dict, file: str) -> dict:
    """Measure one claim and say whether it holds: one row of the table."""
    at_least, at_most = claim["at_least"], claim["at_most"]
    row = {"claim": name, "statement": claim["statement"], "figure": Path(file).stem, "effect": claim["effect"]}
    row["threshold"] = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    try:
        effects = EFFECTS[claim["effect"]](
            Table(file, claim["seed"]),
            curve=claim["curve"],
            other=claim["other"],
            column=claim["column"],
            start=claim["start"],
            stop=claim["stop"],
        )
    except NotMeasuredError as reason:
        return row | {"verdict": "not measured", "measured": str(reason)}
    holds = all(effect.holds(at_least, at_most) for effect in effects)
    return row | {
        "measured": ", ".join(f"{effect.ratio:.3g}" for effect in effects),
        "spread": ", ".join(f"x{exp(effect.spread):.2g}" for effect in effects),
        "verdict": "holds" if holds else "does not hold",
    }


def markdown(rows: pd.DataFrame) -> str:
    """The table as Markdown, with a count of the verdicts."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in rows["verdict"].value_counts().items())
    head = [f"# Claims: {counts}", "", f"|{'|'.join(HEADER)}|", f"|{'---|' * len(HEADER)}"]
    body = ["| " + " | ".join(map(str, row)) + " |" for row in rows.fillna("").itertuples(index=False)]
    return "\n".join([*head, *body, ""])


def main(arguments=None):
    """Judge all claims; write CSV and Markdown."""
    parser = command.parser(
        "Check the statements of the paper on the tables behind the figures: CSV and Markdown.",
        """python -m workflow.claims --claims '[{"name": "smaller", "table": "fig09a.csv", ...}]' \\
    --csv claims.csv --markdown claims.md""",
    )
    wanted = "list of claims as config.yaml has them, with name and table"
    parser.add_argument("--claims", required=True, type=json.loads, metavar="JSON", help=wanted)
    parser.add_argument("--csv", required=True, metavar="FILE", help="CSV file to write")
    parser.add_argument("--markdown", required=True, metavar="FILE", help="Markdown file to write")
    parser.add_argument("--html", metavar="FILE", help="page of the report to write")
    options = parser.parse_args(arguments)
    rows = [judge(claim["name"], claim, claim["table"]) for claim in options.claims]
    table = pd.DataFrame(rows).reindex(columns=HEADER)
    table.to_csv(options.csv, index=False)
    Path(options.markdown).write_text(markdown(table))
    if options.html:
        card = {"title": "Claims of the paper", "caption": CAPTION, "table": options.csv}
        Path(options.html).write_text(page(card), encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
