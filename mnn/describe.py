"""What a network looks like, in text and as a drawing: ``python -m mnn.describe --shape 320 --levels 6 ...``."""

from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from mnn import command
from mnn.boxes import ADJACENT_BAND, band
from mnn.parameters import PARTS, closed_form, layer_sizes
from mnn.spec import CHOICES, NetworkSpec

TITLES = {"mnn-h2": "MNN-H²", "mnn-h": "MNN-H"}
COLOURS = {
    "restriction": "#b5531c",
    "kernel": "#1f5fa8",
    "adjacent": "#6b3fa0",
    "interpolation": "#2c7a3f",
    "state": "#3c3c3c",
}


def describe(spec: NetworkSpec) -> str:
    """Return levels, boxes, bands and the parameters of every part of one member as text."""
    return "\n".join([*_heading(spec), "", *_table(_level_rows(spec)), "", *_table(_part_rows(spec))])


def draw(spec: NetworkSpec) -> str:
    """Return a drawing of the network as SVG, to be held against Figs. 5 and 7 of the paper.

    Rows are levels, the finest on top, the adjacent part above them. A strip is a state, cut into its boxes where there
    are few; a dot is a kernel layer.
    """
    return _Drawing(spec).svg()


def _heading(spec: NetworkSpec) -> Iterable[str]:
    grid, d = " x ".join(map(str, spec.shape)), spec.dimension
    yield f"{TITLES[spec.architecture]}, layers {spec.layers}, padding {spec.padding}, {d}D, phi {spec.activation}"
    sizes = f"L = {spec.levels}, m = {spec.box_size} points an axis of a box, r = {spec.rank}, K = {spec.depth}"
    yield f"grid {grid}: {sizes}"
    options = {"transfer": f"{spec.transfer} x {spec.transfer_depth}", "kernel": spec.kernel, "bias": spec.bias}
    yield ", ".join(f"{name} {value}" for name, value in options.items())


def _level_rows(spec: NetworkSpec) -> Iterable[Sequence]:
    yield "level", "boxes", "points", "band", "taps", *PARTS
    by_level = {key: 0 for level in spec.level_range() for key in ((level, part) for part in PARTS)}
    for layer in layer_sizes(spec):
        by_level[layer.level, layer.part] += layer.parameters
    for level in spec.level_range():
        boxes, points = 2 ** (level * spec.dimension), (spec.shape[0] // 2**level) ** spec.dimension
        taps = (2 * band(level) + 1) ** spec.dimension
        yield level, boxes, points, band(level), taps, *(by_level[level, part] for part in PARTS)
    total = closed_form(spec)
    yield "all", "", "", "", "", *(total[part] for part in PARTS)


def _part_rows(spec: NetworkSpec) -> Iterable[Sequence]:
    yield "part", "layers", "weights", "parameters", "operations", "states"
    sizes = list(layer_sizes(spec))
    for part in PARTS:
        layers = [layer for layer in sizes if layer.part == part]
        kinds = dict.fromkeys("a box's own" if layer.local else "shared" for layer in layers)
        yield part, len(layers), ", ".join(kinds), *_totals(layers)
    yield "all", len(sizes), "", *_totals(sizes)


def _totals(layers: Sequence) -> tuple[int, int, int]:
    return tuple(sum(getattr(layer, what) for layer in layers) for what in ("parameters", "operations", "states"))


def _table(rows: Iterable[Sequence]) -> Iterable[str]:
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    for row in text:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest])


class _Drawing:
    """Layout of the drawing: a column for the input, the restricted states, the kernel layers, the sums, the output."""

    STRIP, HEIGHT, ROW, TOP = 96, 14, 74, 96
    INPUT, LEFT = 20, 170

    def __init__(self, spec: NetworkSpec):
        self.spec = spec
        self.right = self.LEFT + self.STRIP + 60 + 28 * spec.depth
        self.sums = self.right + self.STRIP + 50
        self.output = self.sums + 70
        self.rows = {level: self.TOP + self.ROW * (1 + spec.levels - level) for level in spec.level_range()}
        self.parts: list[str] = []

    def svg(self) -> str:
        """Draw everything and return the file's text."""
        self._ends()
        for level in self.spec.level_range():
            self._level(level)
        self._legend()
        width, height = self.output + self.STRIP + 30, self.rows[2] + 74
        style = "font-family='sans-serif' font-size='12'"
        head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' {style}>"
        return "\n".join([head, f"<rect width='{width}' height='{height}' fill='white'/>", *self.parts, "</svg>\n"])

    def _ends(self) -> None:
        """Draw the title, input, adjacent part and output."""
        spec, y = self.spec, self.TOP
        total = sum(closed_form(spec).values())
        self._text(self.INPUT, 24, f"{TITLES[spec.architecture]} ({spec.layers}): {total} parameters", size=16)
        self._strip(self.INPUT, y, 2**spec.levels, f"v: {' × '.join(map(str, spec.shape))}")
        self._chain(self.INPUT + self.STRIP, self.output - 14, y, "adjacent", f"{spec.depth} × band {ADJACENT_BAND}")
        self._sum(self.output - 6, y)
        self._strip(self.output + 10, y, 2**spec.levels, "u")

    def _level(self, level: int) -> None:
        """Draw the states of a level, its kernel layers, and the arrows that join it to the rest."""
        spec, y = self.spec, self.rows[level]
        nested = spec.architecture == "mnn-h2"
        boxes = " × ".join([str(2**level)] * spec.dimension)
        self._strip(self.LEFT, y, 2**level, f"level {level}: {boxes} boxes, r = {spec.rank}")
        chains = " twice, added" if spec.kernel == "parallel" else ", residual" if spec.kernel == "residual" else ""
        words = f"{spec.depth} × band {band(level)}{chains}"
        self._chain(self.LEFT + self.STRIP, self.right, y, "kernel", words)
        self._strip(self.right, y, 2**level, "")
        above = self.rows[level + 1] if nested and level < spec.levels else None
        if above is None:
            self._line(self.INPUT + self.STRIP / 2, self.TOP + 34, self.LEFT - 2, y, "restriction")
        else:
            self._line(self.LEFT + self.STRIP / 2, above + 30, self.LEFT + self.STRIP / 2, y - 10, "restriction")
        if nested:
            self._line(self.right + self.STRIP, y, self.sums - 9, y, "state")
            self._sum(self.sums, y)
        start = (self.sums + 6, y - 8) if nested else (self.right + self.STRIP, y)
        end = (self.sums, above + 10) if above is not None else (self.output - 8, self.TOP + 10)
        self._line(*(start if above is None else (self.sums, y - 9)), *end, "interpolation")

    def _legend(self) -> None:
        x, y = self.INPUT, self.rows[2] + 56
        for part, letter in zip(PARTS, "KRKI", strict=True):
            kinds = dict.fromkeys("LC" if self.spec.is_local(part, k) else "C" for k in (1, self.spec.depth))
            self._text(x, y, f"{part} ({' then '.join(kind + letter for kind in kinds)})", colour=COLOURS[part])
            x += 160

    def _chain(self, x0: float, x1: float, y: float, part: str, words: str) -> None:
        """Draw the K layers of a chain as dots on an arrow."""
        self._line(x0, y, x1 - 2, y, part)
        middle, colour = (x0 + x1) / 2, COLOURS[part]
        for k in range(self.spec.depth):
            x = middle + 24 * (k - (self.spec.depth - 1) / 2)
            self.parts.append(f"<circle cx='{x:g}' cy='{y:g}' r='5' fill='{colour}'/>")
        self._text(middle, y - 12, words, colour=colour, anchor="middle")

    def _strip(self, x: float, y: float, boxes: int, label: str) -> None:
        """Draw a state: a strip cut into its boxes along an axis, at most 32 of them shown."""
        top, cells = y - self.HEIGHT / 2, min(boxes, 32)
        size = f"width='{self.STRIP}' height='{self.HEIGHT}'"
        self.parts.append(f"<rect x='{x:g}' y='{top:g}' {size} fill='#eef1f5' stroke='{COLOURS['state']}'/>")
        cuts = "".join(f"M{x + self.STRIP * i / cells:g} {top:g}v{self.HEIGHT}" for i in range(1, cells))
        self.parts.append(f"<path d='{cuts}' stroke='#9aa3ad' stroke-width='0.6'/>")
        if label:
            self._text(x, y + 22, label)

    def _sum(self, x: float, y: float) -> None:
        self.parts.append(f"<circle cx='{x:g}' cy='{y:g}' r='8' fill='white' stroke='{COLOURS['state']}'/>")
        self._text(x, y + 4, "+", anchor="middle")

    def _line(self, x0: float, y0: float, x1: float, y1: float, part: str) -> None:
        """Draw an arrow in the colour of a part."""
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        colour = COLOURS[part]
        head = [(x1, y1)] + [(x1 - 7 * ux + s * 3.5 * uy, y1 - 7 * uy - s * 3.5 * ux) for s in (1, -1)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in head)
        line = f"x1='{x0:g}' y1='{y0:g}' x2='{x1 - 6 * ux:.1f}' y2='{y1 - 6 * uy:.1f}'"
        self.parts.append(f"<line {line} stroke='{colour}' stroke-width='1.6'/>")
        self.parts.append(f"<polygon points='{points}' fill='{colour}'/>")

    def _text(
        self, x: float, y: float, words: str, size: int = 12, colour: str = "#222", anchor: str = "start"
    ) -> None:
        place = f"x='{x:g}' y='{y:g}' font-size='{size}' fill='{colour}' text-anchor='{anchor}'"
        self.parts.append(f"<text {place}>{words}</text>")


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the command line."""
    parser = command.parser(
        "Describe a network: levels, boxes, bands, parameters of every part.",
        "python -m mnn.describe --shape 320 --levels 6 --rank 6 --depth 5 --svg network.svg",
    )
    add = parser.add_argument
    add("--shape", nargs="+", type=int, required=True, metavar="N", help="grid points along each axis")
    add("--levels", type=int, required=True, metavar="L", help="N = 2^L m")
    add("--rank", type=int, required=True, metavar="r", help="channels of a box")
    add("--depth", type=int, required=True, metavar="K", help="kernel layers of a level")
    for name, default in ((field.name, field.default) for field in fields(NetworkSpec) if field.name in CHOICES):
        if name != "bias":
            add(f"--{name}", default=default, help=f"{' or '.join(CHOICES[name])}; default: {default}")
    add("--no-bias", dest="bias", action="store_false", help="layers without biases")
    add("--svg", metavar="FILE", help="write a drawing")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the description, and write the drawing."""
    options = vars(parse(arguments))
    path = options.pop("svg")
    spec = NetworkSpec.from_dict(options)
    print(describe(spec))
    if path:
        Path(path).write_text(draw(spec), encoding="utf-8")
    return 0


if __name__ == "__main__":
    command.run(main)
