"""A page of the report: a drawing with its caption, the table behind it, and what made it, in one HTML file."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path

import pandas as pd

from mnn import command

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 62em; margin: 1.5em auto; padding: 0 1.5em }}
h1 {{ font-size: 1.35em }} h2 {{ font-size: 1.05em; margin-top: 1.8em }} img {{ width: 100%; max-width: {width}em }}
table {{ border-collapse: collapse; font-size: .85em; font-variant-numeric: tabular-nums }}
th, td {{ padding: .2em .7em; border-bottom: 1px solid #d8dde3; text-align: right; white-space: nowrap }}
th:first-child, td:first-child {{ text-align: left }} section {{ overflow-x: auto }}
.words td, .words th {{ text-align: left; vertical-align: top; white-space: normal; overflow-wrap: anywhere }}
</style></head><body>
{body}
</body></html>
"""


def page(card: dict) -> str:
    """The page of a card.

    Parameters
    ----------
    card : dict
        ``title``, ``caption``; where there is one, ``picture`` (SVG), ``wide`` (whether it spans two columns),
        ``table`` (CSV), ``networks`` (files of each: ``errors`` and ``model``), ``made_from`` (JSON-ready: what the
        configuration says).
    """
    body = [f"<h1>{escape(card['title'])}</h1>"]
    if "picture" in card:
        body.append(picture(Path(card["picture"]), card["caption"]))
    body.append(f"<p>{escape(card['caption'])}</p>")
    if "table" in card:
        body += ["<h2>Numbers</h2>", f"<section>{numbers(Path(card['table']))}</section>"]
    if "networks" in card:
        body += ["<h2>Provenance</h2>", *provenance(card["networks"], card["made_from"])]
    return PAGE.format(title=escape(card["title"]), width=46 if card.get("wide") else 30, body="\n".join(body))


def picture(svg: Path, caption: str) -> str:
    """A drawing inside the page."""
    encoded = base64.b64encode(svg.read_bytes()).decode()
    return f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{encoded}">'


def numbers(csv: Path) -> str:
    """A table of the workflow as HTML; columns without any value are left out, errors have three digits."""
    table = pd.read_csv(csv).dropna(axis="columns", how="all")
    for column in table.select_dtypes("number"):
        whole = (table[column].dropna() % 1 == 0).all()
        table[column] = [("" if pd.isna(x) else f"{x:.0f}" if whole else f"{x:.3g}") for x in table[column]]
    return table.fillna("").to_html(index=False, border=0, classes="words" if "statement" in table else None)


def provenance(networks: list[dict], made_from: dict) -> list[str]:
    """What the configuration says, and what the files of every network say of themselves."""
    canonical = json.dumps(made_from, sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    rows = [{"what": name, "": json.dumps(value, sort_keys=True)} for name, value in made_from.items()]
    rows.append({"what": "digest of all that", "": f"sha256:{digest[:12]}"})
    tables = (pd.DataFrame(rows), pd.DataFrame([network(**files) for files in networks]))
    return [table.to_html(index=False, border=0, classes="words", header=i > 0) for i, table in enumerate(tables)]


def network(errors: str, model: str) -> dict:
    """One row: what a network was trained and tested on, and by which versions."""
    import xarray as xr
    from safetensors import safe_open

    with xr.open_dataset(errors) as data:
        about, seeds = data.attrs, data["member"].values.tolist()
        counts = {split: data.sizes[f"{split}_sample"] for split in ("train", "test")}
    with safe_open(model, framework="np") as file:
        versions = json.loads(file.metadata()["mnn"])["versions"]
    spec = json.loads(about["network"])
    return {
        "network": f"{Path(model).parent.parent.name}/{Path(model).parent.name}",
        "L, r, K": f"{spec['levels']}, {spec['rank']}, {spec['depth']}",
        "parameters": about["parameters"],
        "seeds": ", ".join(map(str, seeds)),
        "epochs x batch": f"{about['epochs']} x {about['batch_size']}",
        **{f"{split} set": f"{count}, {about[f'{split}_checksum'][:19]}" for split, count in counts.items()},
        "trained in": f"{about['training_seconds']:.0f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def main(arguments=None):
    """Write one page."""
    parser = command.parser(
        "Write a page of the report: a drawing with its caption, the table behind it, and what made it.",
        """python -m workflow.card --card '{"title": "Error", "caption": "...", "picture": "fig09a.svg"}' \\
    --output fig09a.html""",
    )
    holds = "title and caption; picture, table, networks and made_from where there are"
    parser.add_argument("--card", required=True, type=json.loads, metavar="JSON", help=holds)
    parser.add_argument("--output", required=True, metavar="FILE", help="HTML file to write")
    options = parser.parse_args(arguments)
    Path(options.output).write_text(page(options.card), encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
