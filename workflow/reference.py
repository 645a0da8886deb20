"""Reference of config.yaml, made from its models: ``python -m workflow.reference`` writes both files anew.

docs/configuration.md is for people, workflow/schema.json for editors that check YAML while it is typed.
"""

import json
from pathlib import Path

from mnn import command
from workflow.config import Config

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Configuration

`config.yaml` describes the study: what is solved, what is trained, what is drawn. It is validated as a whole, for
every tier, before any job starts; a mistake is one line with the path of the key, the value seen and what is allowed.
Unknown keys are refused.

**Tiers.** Any value may be a map of tier names, `{quick: 1000, paper: 20000}`: each tier then takes its own. Choose
the tier with `tier:` or on the command line, `snakemake --config tier=paper`; results of tiers are kept apart.

**What runs again.** A job's command line holds its slice of this file and nothing else, so a change runs again what
depends on it and no more. The order of keys means nothing.

This page is generated from the models in `workflow/config.py`.
"""


def markdown() -> str:
    """The reference as a page: one table a section."""
    schema = Config.model_json_schema()
    sections = [_section(schema, "The file", schema)]
    sections += [_section(schema, name, node) for name, node in schema["$defs"].items()]
    return "\n".join([INTRODUCTION, *sections])


def editor_schema() -> dict:
    """JSON schema in which every value may also be a map of tiers."""
    schema = Config.model_json_schema()
    for node in (schema, *schema["$defs"].values()):
        node["properties"] = {
            key: {"anyOf": [value, {"type": "object", "additionalProperties": value}]}
            for key, value in node["properties"].items()
        }
    return schema


def _section(schema: dict, name: str, node: dict) -> str:
    rows = [
        f"| `{key}` | {_type(schema, value)} | {_default(node, key, value)} | {_flat(value.get('description', ''))} |"
        for key, value in node["properties"].items()
    ]
    head = [f"## {name}", "", _flat(node.get("description", "")), "", "| key | type | default | meaning |"]
    return "\n".join([*head, "|---|---|---|---|", *rows, ""])


def _type(schema: dict, node: dict) -> str:
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "oneOf"):
        if union in node:
            return " or ".join(_type(schema, option) for option in node[union])
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if node["type"] == "array":
        return f"list of {_type(schema, node['items'])}"
    if node["type"] == "object":
        return _map_type(schema, node)
    return node["type"].replace("null", "nothing") + _limits(node)


def _map_type(schema: dict, node: dict) -> str:
    value = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), None)
    return f"name: {_type(schema, value)}" if isinstance(value, dict) else "map"


def _limits(node: dict) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "maximum": "≤"}
    return "".join(f" {sign} {node[key]}" for key, sign in signs.items() if key in node)


def _default(node: dict, key: str, value: dict) -> str:
    if key in node.get("required", []):
        return "required"
    return f"`{json.dumps(value['default'])}`" if value.get("default") not in (None, {}) else "none"


def _flat(text: str) -> str:
    return " ".join(text.split())


def main(arguments=None) -> None:
    """Write the page and the schema."""
    command.parser(__doc__.splitlines()[0], "python -m workflow.reference").parse_args(arguments)
    (ROOT / "docs/configuration.md").write_text(markdown())
    (ROOT / "workflow/schema.json").write_text(json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    command.run(main)
