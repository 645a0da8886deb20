"""Input made to do harm, or mangled: it is accepted or refused in one line, and nothing is run or written by it."""

import copy
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mnn
from solvers.check import check
from solvers.dataset import DatasetError
from workflow.config import ConfigError
from workflow.study import study

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).resolve().parents[2]
CONFIGS, FILES = 600, 120
HARM = [
    "$(touch harm)",
    "`touch harm`",
    "'; touch harm; '",
    '"; touch harm; "',
    "x\ny",
    "../../harm",
    "/harm",
    "",
    "\x00",
]
ODD = [
    None,
    True,
    -1,
    0,
    1,
    3,
    2**63,
    0.5,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"quick": 1},
    {"quick": 1, "paper": 2},
]
VALUES = st.sampled_from(HARM) | st.sampled_from(ODD) | st.text(max_size=8) | st.integers() | st.floats()


def throw_many(count):
    """Settings of a test that throws that many examples."""
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def places(node, path=()):
    """Every path of keys and positions in a configuration."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def mutate(config, path, action, value):
    """Replace, remove, rename or double what is at a path, if the path still exists."""
    try:
        for key in path[:-1]:
            config = config[key]
        if action == "replace":
            config[path[-1]] = value
        elif action == "remove":
            del config[path[-1]]
        elif action == "rename":
            config[str(value)] = config.pop(path[-1])
        else:
            config[path[-1]] = [config[path[-1]], copy.deepcopy(config[path[-1]])]
    except (KeyError, IndexError, TypeError):
        pass


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """Work in an empty folder, and leave it empty."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert os.listdir(tmp_path) == []


def test_a_mangled_configuration_is_accepted_or_refused_in_one_line(tiny, empty):
    refusals, accepted = [], []
    paths = sorted(places(tiny), key=str)
    actions = st.sampled_from(["replace", "replace", "remove", "rename", "double"])

    @throw_many(CONFIGS)
    @given(st.lists(st.tuples(st.sampled_from(paths), actions, VALUES), min_size=1, max_size=2))
    def throw(mutations):
        config = copy.deepcopy(tiny)
        for mutation in mutations:
            mutate(config, *mutation)
        try:
            made = study(config)
        except ConfigError as error:
            refusals.append(str(error))
        else:
            accepted.append(made)

    throw()
    assert len(refusals) + len(accepted) >= 500
    assert min(len(refusals), len(accepted)) > 10
    assert [text for text in refusals if len(text.splitlines()) != 1] == []
    names = {name for made in accepted for name in (made.config.tier, *made.data, *made.config.figures)}
    names |= {name for made in accepted for pair in made.experiments for name in pair}
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_-]+", name)] == []


def damage(content, kind, place, length, seed):
    """Flip, cut, blank, repeat or scramble a stretch of a file."""
    start = int(place * len(content))
    stretch = content[start : start + length]
    if kind == "flip":
        return content[:start] + bytes(b ^ 0x55 for b in stretch) + content[start + length :]
    if kind == "cut":
        return content[:start]
    if kind == "blank":
        return content[:start] + bytes(len(stretch)) + content[start + length :]
    if kind == "repeat":
        return content[:start] + stretch + content[start:]
    return content[:start] + np.random.default_rng(seed).bytes(length) + content[start + length :]


DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "blank", "repeat", "scramble"]),
    st.floats(0, 0.1) | st.floats(0, 1, exclude_max=True),
    st.sampled_from([1, 4, 100, 5000]),
    st.integers(0, 99),
)


@pytest.mark.parametrize(
    ("file", "read", "refusal"),
    [
        ("data/nlse_1d/test/000000-000032.nc", check, DatasetError),
        ("models/nlse_1d/small_r2_K2_n32_default/model.safetensors", mnn.load, ValueError),
    ],
    ids=["data", "model"],
)
def test_a_damaged_file_is_refused_in_one_line(finished, tmp_path, file, read, refusal):
    content = (finished.folder / "results/quick" / file).read_bytes()
    path = tmp_path / os.path.basename(file)
    refused = []

    @throw_many(FILES)
    @given(DAMAGE)
    def throw(what):
        path.write_bytes(damage(content, *what))
        try:
            read(path)
        except refusal as error:
            refused.append(str(error))

    throw()
    assert len(refused) > FILES / 2
    assert [text for text in refused if len(text.splitlines()) != 1] == []
    assert os.listdir(tmp_path) == [path.name]


class Harm:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("read", [mnn.load, check])
def test_a_pickle_is_not_run(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        read(tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("text", HARM[:4])
def test_texts_of_the_configuration_are_not_run(finished, tmp_path, text):
    clone = finished.copy(tmp_path / "copy")
    clone.configure(lambda config: config["figures"]["fig_rank"].update(title=text, caption=text))
    clone.run("results/quick/figures/fig_rank.svg")
    assert not list(clone.folder.rglob("harm"))


HARMLESS = {
    "seed",
    "start",
    "stop",
    "n_train",
    "n_validation",
    "n_test",
    "split",
    "precision",
    "device",
    "kind",
    "axis",
}
HARMLESS |= {"tier", "figure", "data", "model", "options", "background"}
"""What the configuration's types or a wildcard's pattern hold to numbers, names and words, or shlex has quoted."""


def test_all_else_is_quoted_in_the_shell():
    files = list((ROOT / "workflow/rules").glob("*.smk"))
    unquoted = {
        name for file in files for name in re.findall(r"\{(?:params|input|output|log)\b\.?(\w*)\}", file.read_text())
    }
    assert len(files) > 4
    assert unquoted - {"", "timed"} <= HARMLESS
