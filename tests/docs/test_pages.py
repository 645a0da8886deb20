"""Every block of code on every page does what the page says.

Python runs, the blocks of a page one after another; a ``text`` block behind one is what it prints. YAML and TOML are
read by what will read them. ``console`` blocks are run, and their output compared, by the test that follows their
page. ``sh`` blocks are checked word by word (`command_lines`), and run where that is a matter of seconds; what is left
would install things, submit jobs or work for minutes. A block in a language that is not dealt with here fails.
"""

import copy
import json
import re
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import command_lines
import numpy as np
import pytest
import xarray as xr
import yaml
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

import mnn
import solvers
from solvers import wells
from solvers.dataset import checksum
from solvers.registry import GROUP
from workflow.config import Config, ConfigError
from workflow.study import study

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *(page for page in sorted(ROOT.glob("docs/**/*.md")) if "generated" not in page.parts)]
INLINE = re.compile(r"(?<!`)`((?:\.venv/bin/)?(?:snakemake|make|pytest|python -m) [^`]+)`(?!`)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INFO = re.compile(r'(?P<language>\w*)(?: title="(?P<title>[^"]+)")?$\n', re.MULTILINE)


def model(folder: Path, name: str = "results/quick/models/nlse_1d/mnn-h2-cnn_r6_K5_n2000_default/model.safetensors"):
    """Leave a model of the potentials of 320 points, untrained."""
    from mnn.model_file import Model, save
    from mnn.normalise import fit

    network = mnn.network(shape=(320,), levels=6, rank=6, depth=5, members=3)
    names = ({"name": name, "long_name": name, "units": "1"} for name in ("potential", "ground_state"))
    grid = {"shape": [320], "axes": {}} | dict(zip(("input", "output"), names, strict=True))
    fields = np.random.default_rng(0).standard_normal((2, 20, 320)).astype("float32")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    save(folder / name, network.state_dict(), Model(network, fit(*fields, "standard"), grid, {}))
    return {"potentials": fields[0], "v": fields[0]}


def slab_model(folder: Path):
    """Leave a model of the slab, untrained."""
    model(folder, "results/quick/models/rte_1d/mnn-h2-mix_r8_K5_n2000_default/model.safetensors")
    return {}


def shards(folder: Path):
    """Leave two shards of 5000 samples each."""
    (folder / "train").mkdir()
    for start, stop in ((0, 5000), (5000, 10000)):
        fields = np.random.default_rng(start).standard_normal((2, 5000, 320)).astype("float32")
        names = {"input_variable": "a", "output_variable": "b", "start": start, "stop": stop}
        names |= {"spec": "{}", "checksum": checksum(*fields)}
        attributes = {"long_name": "a", "units": "1"}
        variables = {key: (("sample", "x"), field, attributes) for key, field in zip("ab", fields, strict=True)}
        data = xr.Dataset(variables, {"x": np.arange(320) / 320}, names)
        data.to_netcdf(folder / f"train/{start}-{stop}.nc")
    return {
        "potential": fields[0],
        "density": fields[1],
        "paths": [folder / "train/0-5000.nc", folder / "train/5000-10000.nc"],
    }


def samples(folder: Path):
    """Leave the data set that a training begins with."""
    problem = solvers.problem("nlse", shape=(320,), beta=10.0)
    law = wells.Wells(wells=2, strength=(1, 4), variance=(0.002, 0.004), centre=(0, 1))
    for file, split, count in (("train_0", "train", 500), ("validation", "validation", 100), ("test", "test", 100)):
        field = wells.synthesise(law, problem, wells.draw(law, problem, seed=1, split=split, start=0, stop=count))
        pair = {"potential": field, "ground_state": problem.solve(field).values}
        names = {"input_variable": "potential", "output_variable": "ground_state", "periodic": 1}
        data = xr.Dataset(
            {key: (("sample", "x"), values.astype("float32")) for key, values in pair.items()}, attrs=names
        )
        data.to_netcdf(folder / f"{file}.nc")
    (folder / "fields.nc").symlink_to("test.nc")
    return {"v": field}


GIVEN = {
    "README.md": model,
    "docs/index.md": model,
    "docs/training.md": samples,
    "docs/data_format.md": shards,
    "docs/tomography.md": slab_model,
    "docs/h2matrix.md": lambda folder: {"v": np.ones((2, 320))},
}
"""What a page takes for granted: files in the folder, names in Python."""
ONE_EPOCH = '{"recipe": "default", "epochs": 1, "members": 3}'
RUN = {"docs/training.md": {ONE_EPOCH.replace("1,", "100,"): ONE_EPOCH, "5000": "500"}}
"""Pages whose shell commands are run, and words that are replaced so that they take less time."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def followed() -> set[str]:
    """Pages whose files are written and whose commands are run by a test of their own."""
    tests = (path.read_text() for path in ROOT.glob("tests/*/test_*.py"))
    return {page for text in tests for page in re.findall(r'follow\(\s*ROOT / "([^"]+)"', text)}


class Blocks:
    """Blocks of one page, each dealt with in its turn."""

    def __init__(self, page: Path):
        self.page, self.printed = page, None
        self.python = PythonEvaluator()

    def __call__(self, example: Example) -> None:
        language, title = (example.region.lexemes[key] for key in ("language", "title"))
        if (title or language == "console") and name(self.page) in followed():
            return
        assert not title, "a block with a title is a file: a test has to follow the page"
        printed, self.printed = self.printed, None
        getattr(self, f"run_{language or 'nothing'}", self.unknown)(example, printed)

    def unknown(self, example: Example, printed: str | None) -> None:
        pytest.fail(f"a block in {example.region.lexemes['language'] or 'no language'} is not dealt with")

    def run_python(self, example: Example, printed: str | None) -> None:
        with redirect_stdout(StringIO()) as output:
            self.python(example)
        self.printed = output.getvalue()

    def run_text(self, example: Example, printed: str | None) -> None:
        if example.parsed.startswith("config: "):
            assert example.parsed.strip() == refusal(example.parsed)
        elif printed is not None:
            assert example.parsed == printed

    def run_sh(self, example: Example, printed: str | None) -> None:
        for words in command_lines.commands(example.parsed):
            command_lines.check(words)
            if name(self.page) in RUN:
                command_lines.run(RUN[name(self.page)].get(word, word) for word in words)

    def run_yaml(self, example: Example, printed: str | None) -> None:
        study(merged(whole_config(), placed(yaml.safe_load(example.parsed))))

    def run_toml(self, example: Example, printed: str | None) -> None:
        assert GROUP in tomllib.loads(example.parsed)["project"]["entry-points"]


def whole_config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def placed(part: dict) -> dict:
    """Return a part of config.yaml as it stands in the whole: under the section that has its keys."""
    if set(part) <= set(Config.model_fields):
        return part
    (section,) = (key for key, value in whole_config().items() if isinstance(value, dict) and set(part) <= set(value))
    return {section: part}


def merged(whole: dict, part: dict) -> dict:
    """Put a part of a configuration into the whole, key by key, as Snakemake does."""
    result = copy.copy(whole)
    for key, value in part.items():
        both = isinstance(value, dict) and isinstance(whole.get(key), dict) and not set(value) <= {"quick", "paper"}
        result[key] = merged(whole[key], value) if both else value
    return result


def refusal(text: str) -> str:
    """What is said of the mistake that a message names: ``config: path.to.key: VALUE given, ...``."""
    path, value = re.match(r"config: ([\w.-]+): (\S+) given", text).groups()
    part = json.loads(value)
    for key in reversed(path.split(".")):
        part = {key: part}
    with pytest.raises(ConfigError) as error:
        study(merged(whole_config(), part))
    return f"config: {error.value}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = Blocks(page)
    document = Sybil([lambda document: regions(document, blocks)]).parse(page)
    document.namespace.update(GIVEN[name(page)](tmp_path) if name(page) in GIVEN else {})
    for example in document.examples():
        example.evaluate()


def regions(document, blocks: Blocks):
    """Fenced blocks of a page, language and title told apart."""
    for region in RawFencedCodeBlockLexer(INFO)(document):
        region.parsed, region.evaluator = region.lexemes["source"], blocks
        yield region
    opened = len(re.findall(r"^```", document.text, re.MULTILINE))
    assert opened == 2 * len(list(RawFencedCodeBlockLexer(INFO)(document))), "a fence that is not understood"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_text_of_a_page(page):
    for command in INLINE.findall(FENCED.sub("", page.read_text())):
        for words in command_lines.commands(command):
            command_lines.check(words)


@pytest.mark.parametrize(
    ("command", "complaint"),
    {
        "make runn": "no runn",
        "make run TEIR=paper": "no TEIR",
        "python -m mnn.trian": "no such module",
        "python -m mnn.predict model.safetensors in.nc": "-o/--output",
        "python -m solvers.check --sbset 3 file.nc": "--sbset",
        "snakemake fig99": "no such target",
        "snakemake --croes 2": "--croes",
        "pytest tests/absent": "no such file",
        "rm -rf .": "nothing is known",
    }.items(),
)
def test_a_command_that_would_fail_is_found(command, complaint):
    (words,) = command_lines.commands(command)
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        command_lines.check(words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_of_a_page_lead_to_files_of_the_repository(page):
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", FENCED.sub("", page.read_text()))
    assert [link for link in links if not (page.parent / link).exists()] == []
