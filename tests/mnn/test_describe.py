"""Descriptions say the numbers of the networks, drawings show their parts, mistakes are one line."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import mnn
from mnn.describe import COLOURS, describe, draw
from mnn.parameters import PARTS, layer_sizes
from mnn.spec import NetworkSpec

PAPER = {"shape": (320,), "levels": 6, "rank": 6, "depth": 5}
CASES = [
    PAPER,
    {**PAPER, "architecture": "mnn-h"},
    {**PAPER, "layers": "mix", "padding": "zero"},
    {"shape": (32, 32), "levels": 3, "rank": 2, "depth": 2, "layers": "lc", "kernel": "parallel", "transfer_depth": 2},
]


def rows(text, first, last="all"):
    """Return the cells of the table whose heading starts with ``first``, by the first cell of each row."""
    lines = [line.split() for line in text.splitlines()]
    start = next(i for i, cells in enumerate(lines) if cells[:1] == [first])
    stop = next(i for i, cells in enumerate(lines[start:], start) if cells[:1] == [last])
    return {cells[0]: cells[1:] for cells in lines[start : stop + 1]}


@pytest.mark.parametrize("options", CASES)
def test_tables_add_up_to_the_network(options):
    spec = NetworkSpec(**options)
    text, net = describe(spec), mnn.network(**options)
    levels, parts = rows(text, "level"), rows(text, "part")
    for i, part in enumerate(PARTS):
        built = sum(
            p.numel() for name, p in net.named_parameters() if name.replace("parallel", "kernel")[:4] == part[:4]
        )
        assert int(levels["all"][i]) == built
        assert sum(int(levels[str(level)][4 + i]) for level in spec.level_range()) == built
        assert int(parts[part][-3]) == built
    assert int(parts["all"][-3]) == mnn.count_parameters(net)


def test_levels_of_the_paper():
    assert rows(describe(NetworkSpec(**PAPER)), "level")["2"] == ["4", "80", "2", "5", "0", "78", "930", "84"]
    assert rows(describe(NetworkSpec(**PAPER)), "level")["6"] == ["64", "5", "3", "7", "400", "36", "1290", "35"]


@pytest.mark.parametrize("options", CASES)
def test_operations_and_states_are_the_layers(options):
    """Multiplications are counted from the weights that were built, states from what the layers return."""
    net = mnn.network(**options)
    operations, states = 0, 0
    for layer in (module for module in net.modules() if hasattr(module, "table")):
        operations += layer.table.numel() * layer.inputs * layer.outputs
        states += layer.boxes * (layer.bias_shape[0] * (layer.bias_shape[1] if len(layer.bias_shape) > 1 else 1))
    sizes = list(layer_sizes(net.spec))
    assert operations == sum(size.operations for size in sizes)
    assert states == sum(size.states for size in sizes)


@pytest.mark.parametrize("options", CASES)
def test_drawing_has_a_dot_for_every_kernel_layer_and_a_row_for_every_level(options):
    spec = NetworkSpec(**options)
    root = ElementTree.fromstring(draw(spec))
    tags = [(element.tag.split("}")[1], element.attrib) for element in root]
    words = [element.text for element in root if element.text and element.text.strip()]

    def dots(part):
        return sum(tag == "circle" and attributes["fill"] == COLOURS[part] for tag, attributes in tags)

    def arrows(part):
        return sum(tag == "line" and attributes["stroke"] == COLOURS[part] for tag, attributes in tags)

    levels = len(spec.level_range())
    assert dots("kernel") == levels * spec.depth
    assert dots("adjacent") == spec.depth
    assert arrows("restriction") == arrows("interpolation") == levels
    assert sum(word.startswith("level ") for word in words) == levels
    assert any(str(mnn.count_parameters(mnn.network(**options))) in word for word in words)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mnn.describe", *arguments], capture_output=True, text=True, check=False
    )


def test_command_prints_and_draws(tmp_path):
    options = ["--shape", "320", "--levels", "6", "--rank", "6", "--depth", "5"]
    done = run(*options, "--architecture", "mnn-h", "--svg", str(tmp_path / "network.svg"))
    spec = NetworkSpec(**PAPER, architecture="mnn-h")
    assert done.returncode == 0
    assert done.stdout == describe(spec) + "\n"
    assert (tmp_path / "network.svg").read_text(encoding="utf-8") == draw(spec)


def test_mistake_is_one_line_and_exit_code_2():
    done = run("--shape", "300", "--levels", "6", "--rank", "6", "--depth", "5")
    assert done.returncode == 2
    assert done.stderr.startswith("error: shape: (300,) given")
    assert done.stderr.count("\n") == 1


def test_describing_needs_no_torch():
    code = "import sys, mnn, mnn.describe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_repr_names_every_layer_of_algorithm_4():
    text = repr(mnn.network(**PAPER))
    assert "architecture=mnn-h2" in text
    assert text.count("GatherLayer") == 5 + 5 + 25
    assert text.count("InterpolationLayer") == 5
    assert "GatherLayer(CNN, 64 boxes, 7 taps, 6 -> 6, relu)" in text
