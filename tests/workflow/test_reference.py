"""The configuration reference says what the models say."""

import json
import tomllib

import yaml

from workflow import reference


def test_page_and_schema_are_up_to_date():
    hint = "run python -m workflow.reference"
    assert (reference.ROOT / "docs/configuration.md").read_text() == reference.markdown(), hint
    assert json.loads((reference.ROOT / "workflow/schema.json").read_text()) == reference.editor_schema(), hint


def test_every_key_is_explained():
    schema = reference.Config.model_json_schema()
    for name, node in (("Config", schema), *schema["$defs"].items()):
        for key, value in node["properties"].items():
            assert value.get("description"), f"{name}.{key} has no description"


def test_the_conda_environment_lists_the_project_s_dependencies():
    project = tomllib.loads((reference.ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((reference.ROOT / "workflow/envs/mnn-h2.yaml").read_text())
    assert environment["dependencies"][-1]["pip"] == project["dependencies"]
