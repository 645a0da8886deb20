"""Every command says by itself what it does, what its options mean, and gives an example; a mistake is one line."""

import re
from importlib import import_module

import pytest

from mnn import command

OURS = [f"mnn.{name}" for name in ("train", "evaluate", "baselines", "predict", "export", "describe")]
OURS += [f"workflow.{name}" for name in ("tabulate", "plot", "card", "claims", "summary", "manifest", "reference")]
SOLVERS = [f"solvers.{name}" for name in ("generate", "check", "adopt")]


def shown(name, capsys):
    module = import_module(name)
    if name in SOLVERS:
        return module._parser().format_help()
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", OURS + SOLVERS)
def test_help_has_an_example_and_a_word_on_every_option(name, capsys):
    text = shown(name, capsys)
    assert text.startswith(f"usage: python -m {name} ")
    assert f"example:\n  python -m {name}" in text
    assert max(map(len, text.splitlines())) <= 120
    listed = re.findall(r"^  (-[^\n]*?)(?:\s{2,}(\S[^\n]*)|\n\s{10,}(\S[^\n]*))?$", text, re.MULTILINE)
    assert listed
    assert all(here or below for _, here, below in listed), listed


def test_a_file_that_is_missing_is_one_line_and_exit_code_2(capsys, monkeypatch):
    from workflow import plot

    arguments = ["--kind", "error", "--axis", "rank", "--title", "t", "--input", "none.csv", "--output", "a.svg"]
    monkeypatch.setattr("sys.argv", ["plot", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.run(plot.main)
    assert ended.value.code == 2
    assert re.fullmatch(r"error: .*none\.csv.*\n", capsys.readouterr().err)
